import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from gdwatch.errors import GdwatchError
from tests.train.conftest import Told, photograph
from train.audit import suspects
from train.audit.audit import Finding, apply, audit
from train.audit.faceless import best_scores
from train.audit.features import features
from train.audit.page import write
from train.data import prepared_set
from train.data.prepare import prepare
from train.data.prepared_set import Prepared

BARRED = {"female": False, "male": True}


def save(data: Path, label: str, name: str, image: Image.Image) -> str:
    path = data / label / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return f"{label}/{name}"


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Females, and males behind bars, 60 of each, with a trouble of every kind among them."""
    data = tmp_path_factory.mktemp("data")
    for label, barred in BARRED.items():
        for number in range(60):
            save(data, label, f"{number:02}.png", photograph(f"{label}{number}", barred=barred))
    save(data, "male", "swapped.png", photograph("swapped", barred=BARRED["female"]))
    twin = photograph("male7", barred=BARRED["male"])
    cut = twin.crop((5, 0, twin.width, twin.height - 5)).resize((128, 128))
    save(data, "male", "copy.jpg", cut)
    save(data, "female", "same.png", photograph("female3", barred=BARRED["female"]))
    dice = np.random.default_rng(0)
    noise = dice.integers(0, 256, (100, 100, 3), dtype=np.uint8)
    save(data, "female", "noise.png", Image.fromarray(noise))
    save(data, "female", "flat.png", Image.new("RGB", (100, 100), (90, 90, 91)))
    save(data, "male", "tiny.png", photograph("tiny").resize((16, 20)))
    folder = tmp_path_factory.mktemp("prepared")
    prepare([data], folder)
    audit(prepared_set.load(folder), min_age=10)
    return folder


@pytest.fixture
def troubled(audited: Path, tmp_path: Path) -> Prepared:
    """A copy of the prepared folder, with its audit."""
    shutil.copytree(audited, tmp_path / "prepared")
    return prepared_set.load(tmp_path / "prepared")


@pytest.fixture
def findings(troubled: Prepared) -> list[Finding]:
    with (troubled.folder / "audit.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["path", "trouble", "score", "evidence", "related"]
    # What a CSV gives is text, of which the score was made a number.
    return [Finding(**row | {"score": float(row["score"])}) for row in rows]  # type: ignore[arg-type]


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


def test_the_page_shows_every_kind_and_escapes_names(
    troubled: Prepared, findings: list[Finding]
) -> None:
    write(troubled, [*findings, Finding(findings[0].path, "label", 1.0, "<script>", "")])
    text = (troubled.folder / "audit.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert text.count("data:image/webp;base64,") >= len(findings)
    assert "http" not in text.replace("http-equiv", "")


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


def test_pictures_that_cannot_be_told_are_those_near_a_half() -> None:
    found = suspects.unknowable(np.array([0.01, 0.45, 0.7, 0.52, 0.99]))
    assert [suspect.row for suspect in found] == [1, 3]


def test_the_odd_one_of_a_cluster_is_found() -> None:
    dice = np.random.default_rng(0)
    embedded = np.concatenate([dice.normal(5 * k, 0.1, (40, 8)) for k in (0, 1)])
    male = np.arange(80) >= 40
    male[7] = True
    found = suspects.outliers(embedded, male)
    assert [suspect.row for suspect in found] == [7]
    assert "labelled male in cluster" in found[0].evidence


def test_features_are_computed_once(troubled: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    first = features(troubled)
    monkeypatch.setattr("train.audit.features._compute", None)  # asked again, it would fail
    assert np.allclose(features(troubled), first, atol=1e-6)


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


def test_a_blurred_picture_shows_nothing_and_a_sharp_one_does() -> None:
    sharp = photograph("sharp", side=128, barred=True)
    blurred = sharp.filter(ImageFilter.GaussianBlur(25))
    assert suspects.uninformative(np.asarray(sharp), 128) is None
    found = suspects.uninformative(np.asarray(blurred), 128)
    assert found is not None
    assert found[1].startswith("blurred: ")


def test_where_nobody_is_found_is_listed_and_stays(tmp_path: Path) -> None:
    from skimage import data

    astronaut = Image.fromarray(data.astronaut())
    save(tmp_path / "data", "female", "face.png", astronaut.crop((0, 0, 512, 300)))
    for number in range(3):
        save(tmp_path / "data", "male", f"{number}.png", photograph(f"{number}"))
    prepare([tmp_path / "data"], tmp_path / "out")
    folder = prepared_set.load(tmp_path / "out")
    scores, threshold = best_scores(folder)
    paths = [row.path for row in folder.rows]
    assert scores[paths.index("female/face.png")] > threshold
    listed = suspects.faceless(scores, threshold)
    assert {paths[suspect.row] for suspect in listed} <= {"male/0.png", "male/1.png", "male/2.png"}
    found = suspects.faceless(np.array([0.9, 0.1]), threshold)
    assert [(each.row, each.trouble, each.evidence) for each in found] == [
        (1, "no face", "the surest has a score of 0.10")
    ]
    findings = [Finding(path, "no face", 0.9, "", "") for path in paths]
    assert apply(folder, findings) == 0
