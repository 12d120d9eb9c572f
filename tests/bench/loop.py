"""A job in processes of its own: prepared once, then done and timed whenever it is asked for."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_TOP = Path(__file__).parents[2]


def serve(job: Callable[[], object], prepare: Callable[[], object] = lambda: None) -> None:
    """In a child: for each line that comes, prepare, do the job, and answer with its seconds."""
    print("ready", flush=True)
    for _ in sys.stdin:
        prepare()
        began = time.perf_counter()
        job()
        print(time.perf_counter() - began, flush=True)


class Loop:
    """The processes of one job, seen from the benchmark.

    words: the module and its arguments; `PART` in them becomes the number of each process.
    """

    def __init__(
        self,
        words: Sequence[str | Path],
        env: Mapping[str, str],
        *,
        python: str | Path = sys.executable,
        count: int = 1,
    ) -> None:
        self._processes = [
            subprocess.Popen(
                [python, "-m", *(str(word).replace("PART", str(part)) for word in words)],
                cwd=_TOP, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for part in range(count)
        ]  # fmt: skip
        for process in self._processes:
            self._line(process)

    def seconds(self) -> float:
        """Let all do it once, side by side; how long the last of them took."""
        for process in self._processes:
            assert process.stdin is not None
            print(file=process.stdin, flush=True)
        return max(float(self._line(process)) for process in self._processes)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def _line(self, process: "subprocess.Popen[str]") -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{process.args} ended with {process.wait()}")
        return line
