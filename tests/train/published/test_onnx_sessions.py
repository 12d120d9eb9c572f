from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError

for each in ("onnx", "onnxruntime"):
    pytest.importorskip(each, reason=f"{each} is not installed (extra teachers)")

from train.detection.centerface import CenterFace


def test_a_file_that_is_no_network_is_named(tmp_path: Path, published: Path) -> None:
    for content in (b"", b"no network", (published / "centerface.onnx").read_bytes()[:300]):
        (tmp_path / "centerface.onnx").write_bytes(content)
        with pytest.raises(GdwatchError, match=r"centerface\.onnx: (no network of ONNX|has )"):
            CenterFace(tmp_path / "centerface.onnx")
    with pytest.raises(GdwatchError, match=r"has images, probabilities and not input\.1"):
        CenterFace(published / "gender-v1.onnx")
