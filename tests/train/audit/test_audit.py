import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gdwatch.errors import GdwatchError
from tests.train.audit.conftest import save
from tests.train.build import Told, photograph
from train.audit.audit import Finding, apply, audit
from train.data import prepared_set
from train.data.prepare import prepare
from train.data.prepared_set import Prepared


def named(findings: list[Finding], trouble: str) -> dict[str, Finding]:
    return {finding.path: finding for finding in findings if finding.trouble == trouble}


def test_planted_troubles_are_found(findings: list[Finding]) -> None:
    assert "male/swapped.png" in named(findings, "label")
    assert len(named(findings, "label")) <= 8
    copies = named(findings, "duplicate")
    assert set(copies) == {"male/copy.jpg", "female/same.png"}
    assert copies["male/copy.jpg"].related == "male/07.png"
    assert copies["female/same.png"].evidence == "the same bytes"
    empty = named(findings, "uninformative")
    assert {path: finding.evidence.split(":")[0] for path, finding in empty.items()} == {
        "female/noise.png": "noise",
        "female/flat.png": "flat",
        "male/tiny.png": "tiny",
    }


def test_the_findings_are_a_table_with_the_surest_first(findings: list[Finding]) -> None:
    for trouble in ("label", "duplicate", "uninformative"):
        scores = [finding.score for finding in findings if finding.trouble == trouble]
        assert scores == sorted(scores, reverse=True)
    assert all(0 <= finding.score <= 1 for finding in findings)


def test_applied_findings_leave_a_clean_manifest_and_say_why(
    troubled: Prepared, findings: list[Finding]
) -> None:
    before = (troubled.folder / "manifest.csv").read_bytes()
    excluded = apply(troubled, findings)
    clean = prepared_set.load_clean(troubled.folder)
    gone = {row.path for row in troubled.rows} - {row.path for row in clean.rows}
    assert len(gone) == excluded
    assert {"male/swapped.png", "male/copy.jpg", "female/noise.png"} <= gone
    with (troubled.folder / "excluded.csv").open(newline="") as stream:
        assert {row["path"] for row in csv.DictReader(stream)} == gone
    assert (troubled.folder / "manifest.csv").read_bytes() == before


def test_clean_rows_show_their_own_pictures(troubled: Prepared, findings: list[Finding]) -> None:
    apply(troubled, findings)
    clean = prepared_set.load_clean(troubled.folder)
    number = {row.path: place for place, row in enumerate(troubled.rows)}
    for place in (0, 30, len(clean.rows) - 1):
        original = troubled.pixels(np.array([number[clean.rows[place].path]]))
        assert np.array_equal(clean.pixels(np.array([place])), original)


def test_what_was_not_cleaned_cannot_be_learnt_as_clean(
    troubled: Prepared, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    told = gdtrain("fit", troubled.folder, "--clean", "--out", tmp_path / "run")
    assert told.err == (
        f"gdtrain: {troubled.folder}: no manifest.clean.csv in it; "
        "write it with `gdtrain audit --apply`\n"
    )


def test_nothing_is_excluded_where_nothing_would_be_left(troubled: Prepared) -> None:
    males = [
        Finding(row.path, "label", 1.0, "", "") for row in troubled.rows if row.label == "male"
    ]
    with pytest.raises(GdwatchError, match="pictures of one class alone are left"):
        apply(troubled, males)
    assert not (troubled.folder / "manifest.clean.csv").exists()


def test_too_few_different_pictures_are_an_error(tmp_path: Path) -> None:
    one = photograph("one")
    for number in range(3):
        for label in ("female", "male"):
            save(tmp_path / "data", label, f"{number}.png", one)
    prepare([tmp_path / "data"], tmp_path / "out")
    with pytest.raises(GdwatchError, match="too few different pictures of one class"):
        audit(prepared_set.load(tmp_path / "out"), min_age=10)


def test_the_command_says_how_many_there_are_and_where_to_look(
    troubled: Prepared, gdtrain: Callable[..., Told]
) -> None:
    told = gdtrain("audit", troubled.folder, "--apply")
    lines = told.out.splitlines()
    assert lines[0] == "duplicate 2"
    assert lines[2] == "uninformative 3"
    assert lines[5].startswith("no face ")
    assert lines[6:8] == [str(troubled.folder / "audit.csv"), str(troubled.folder / "audit.html")]
    assert lines[8].endswith(f" of {len(troubled.rows)}")
