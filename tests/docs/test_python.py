"""docs/python.md: every example runs, and the table has every field of an answer."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from gdwatch import Answer
from tests import build
from tests.docs.pages import DOCS, code, rows, section, text_of

TEXT = text_of(DOCS / "python.md")


def test_every_example_runs_and_answers(tmp_path: Path) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / "photographs/one").mkdir(parents=True)
    for name in ("portrait.jpg", "photographs/a.jpg", "photographs/one/b.jpg"):
        (tmp_path / name).write_bytes(build.grace_hopper())
    (tmp_path / "photographs/c.jpg").write_bytes(b"no picture")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(examples)],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ, check=True,
    )  # fmt: skip
    first, a, c, b, last = done.stdout.splitlines()
    assert re.fullmatch(r"(female|male|unsure) (female|male) 0\.\d+", first)
    assert re.fullmatch(r"photographs/a.jpg\t(female|male|unsure)\t\w*", a)
    assert re.fullmatch(r"photographs/one/b.jpg\t(female|male|unsure)\t\w*", b)
    assert c == "photographs/c.jpg\trejected\tnot_an_image"
    assert re.fullmatch(r"\[\(Box\(x=.*\), 0\.\d+\)\]", last)
    assert done.stderr == ""


def test_every_field_of_an_answer_stands_in_the_table() -> None:
    told = [
        name for first, _ in rows(section(TEXT, "What an answer holds")) for name in code(first)
    ]
    assert sorted(told) == sorted(field.name for field in fields(Answer))
