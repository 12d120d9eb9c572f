"""Standard error that cannot be written to, in a process of its own."""

import os
import subprocess
import sys

import pytest

WRITES = """
import sys
from gdwatch.files import standard_error
standard_error.keep()
print("one", file=sys.stderr)
sys.stderr.write("two\\n")
opened = open("/dev/null", "w")
print(standard_error.dropped(), opened.fileno() > 2)
"""


def written(redirection: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, WRITES],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2</dev/null"])
def test_what_cannot_be_written_is_dropped_and_counted(redirection: str) -> None:
    ended = written(redirection)
    assert (ended.returncode, ended.stdout) == (0, "2 True\n")


def test_what_nobody_reads_any_more_is_dropped_and_counted() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-c", WRITES], stdout=subprocess.PIPE, stderr=writer, check=False
    )
    os.close(writer)
    assert (ended.returncode, ended.stdout) == (0, b"2 True\n")


def test_what_can_be_written_is() -> None:
    ended = written("")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "0 True\n", "one\ntwo\n")
