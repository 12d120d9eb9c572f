"""Fuzz target: what a worker does with a file, from reading it to the pixels in the slot.

    python -m tests.faults.fuzz_decode FOLDER [-runs=N …]
        with atheris; begins with the corpus's originals, keeps its finds in FOLDER
    python -m tests.faults.fuzz_decode --corpus SEED FIRST COUNT
        the corpus alone, without atheris: an answer a line

Ends with a traceback at the first answer that is not promised, and leaves the bytes in `crash-…`.
"""

import contextlib
import json
import os
import resource
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import get_args

WALKS = sys.argv[1:2] == ["--corpus"]
watched: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
if __name__ == "__main__" and not WALKS:
    import atheris

    # What is imported here tells the fuzzer which lines a try has reached.
    watched = atheris.instrument_imports(include=["gdwatch.decode", "PIL"])
with watched:
    from gdwatch.decode.formats import Limits
    from gdwatch.decode.reduce import Reduction
    from gdwatch.processes import worker
    from gdwatch.processes.slots import Slots
    from gdwatch.values import Photo, Refusal, RejectedReason
from tests.faults import corpus  # noqa: E402 - after what is watched

LAYOUT = Reduction(96, whole=False)
LIMITS = Limits(max_pixels=1_000_000)
MEMORY_MB = 1024  # as worker_memory_mb has it
LONGEST_TRY = 40_000  # bytes
REASONS = {*get_args(RejectedReason)} - {"too_many_bytes", "decoder_timeout", "duplicate"}


class Target:
    """One place for pixels, and a file without a name for the bytes."""

    def __init__(self) -> None:
        self._slots = Slots(1, LAYOUT)
        self._file = os.memfd_create("fuzz")

    def answer(self, content: bytes) -> str:
        """The reason of a refusal, or `classified`; AssertionError where a promise is broken."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, content, 0)
        match worker.serve(self._file, self._slots, 0, LIMITS):
            case Photo() as photo:
                assert photo.sha256 == sha256(content).hexdigest()
                assert photo.header.width * photo.header.height <= LIMITS.max_pixels, photo.header
                assert max(photo.size) < LAYOUT.longest, photo.size
                return "classified"
            case Refusal() as refusal:
                assert refusal.sha256 == sha256(content).hexdigest()
                assert refusal.reason in REASONS - {"unreadable"}, refusal
                assert refusal.detail.isprintable(), refusal
                return refusal.reason


def limit_memory() -> None:
    """As a worker's."""
    space = MEMORY_MB << 20
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def walk_corpus(seed: int, first: int, count: int) -> None:
    """Print a JSON line for each sample: its name, its answer, whether it was cut."""
    corpus.originals()
    limit_memory()
    target = Target()
    for sample in corpus.samples(seed, count, first):
        print(json.dumps([sample.name, target.answer(sample.content), sample.cut]), flush=True)


def fuzz(folder: Path, words: Sequence[str]) -> None:
    """Let atheris look for what breaks a promise; it ends the process."""
    folder.mkdir(exist_ok=True)
    for name, content in corpus.originals().items():
        (folder / name).write_bytes(content)
    target = Target()

    def attempt(content: bytes) -> None:
        target.answer(content)

    limits = [f"-max_len={LONGEST_TRY}", f"-rss_limit_mb={2 * MEMORY_MB}", "-timeout=20"]
    atheris.Setup([sys.argv[0], *limits, *words, str(folder)], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    if WALKS:
        walk_corpus(*map(int, sys.argv[2:5]))
    else:
        fuzz(Path(sys.argv[1]), sys.argv[2:])
