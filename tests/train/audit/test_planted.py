import csv
from dataclasses import replace
from pathlib import Path

import pytest

from tests.train.build import write_rows
from train.audit.audit import AUDIT
from train.audit.planted import TRUTH, count, plant
from train.data.prepared_set import Prepared


def test_what_was_planted_is_counted_among_what_was_found(
    prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(prepared, [replace(row, split="test") for row in prepared.rows])
    folder = tmp_path / "planted"
    plant(tmp_path / "faces", prepared.folder, folder, seed=1)
    with (folder / TRUTH).open(newline="") as stream:
        truth = list(csv.DictReader(stream))
    assert all((folder / row["path"]).is_file() for row in truth)
    (tmp_path / "audited").mkdir()
    with (tmp_path / "audited" / AUDIT).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "trouble", "score", "evidence", "related"])
        for row in truth:
            if row["trouble"] != "label":
                writer.writerow([row["path"], row["trouble"], 1, "", row["of"]])
        writer.writerow(["female/other.png", "duplicate", 1, "", "female/another.png"])
    count(folder, tmp_path / "audited")
    lines = capsys.readouterr().out.splitlines()
    copies = sum(row["trouble"] == "duplicate" for row in truth)
    assert copies == 6
    assert "| label | " in lines[2]
    assert lines[2].endswith("| 0.000 | 0 | 0.000 |")
    assert lines[3] == f"| duplicate | 6 | 6 | 1.000 | 7 | {6 / 7:.3f} |"
    assert lines[4] == "| uninformative | 2 | 2 | 1.000 | 2 | 1.000 |"
