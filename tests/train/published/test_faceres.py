"""The published file is 7 MB and not in the project: a graph of its form is."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from gdwatch.errors import GdwatchError

for each in ("onnx", "onnxruntime"):
    pytest.importorskip(each, reason=f"{each} is not installed (extra teachers)")

from tests.train import standins
from train.published.faceres import FEATURES, SIDE, FaceRes


def said_by_torch(
    squares: np.ndarray, constants: dict[str, np.ndarray]
) -> tuple[torch.Tensor, ...]:
    """What the graph of the stand-in says, computed without it: features and logits."""

    def kernel(name: str, *order: int) -> torch.Tensor:
        return torch.from_numpy(constants[name]).permute(*order)

    def padded(photo: torch.Tensor) -> torch.Tensor:
        return F.pad(photo, (0, 1, 0, 1))  # TensorFlow's padding SAME, of stride 2 and even sides

    blue_first = squares[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)
    photo = torch.from_numpy(np.ascontiguousarray(blue_first)).permute(0, 3, 1, 2)
    photo = F.conv2d(padded(photo), kernel("first", 3, 2, 0, 1), stride=2)
    photo = (photo + torch.from_numpy(constants["offset"])[:, None, None]).clamp(0, 6)
    photo = F.conv2d(padded(photo), kernel("deep", 2, 3, 0, 1), stride=2, groups=4)
    photo = F.conv2d(photo * torch.from_numpy(constants["scale"])[:, None, None],
                     kernel("wide", 3, 2, 0, 1))  # fmt: skip
    features = photo.mean((2, 3))
    dense = {name: torch.from_numpy(value) for name, value in constants.items()}
    hidden = (features @ dense["dense"] + dense["dense_bias"]).relu()
    return features, (hidden @ dense["sex"] + dense["sex_bias"])[:, 0]


def test_the_graph_is_translated_faithfully(tmp_path: Path) -> None:
    constants = standins.faceres(tmp_path)
    squares = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    features, male = FaceRes(tmp_path / "faceres.json").embed(squares)
    assert features.shape == (3, FEATURES)
    wanted = said_by_torch(squares, constants)
    assert np.allclose(features, wanted[0], atol=1e-4)
    assert np.allclose(male, wanted[1], atol=1e-4)
    assert np.ptp(male) > 1e-3


def test_another_graph_or_a_cut_file_is_refused_by_its_name(tmp_path: Path) -> None:
    standins.faceres(tmp_path)
    graph, weights = tmp_path / "faceres.json", tmp_path / "faceres.bin"
    whole, content = graph.read_text(), weights.read_bytes()
    weights.write_bytes(content + b"more")
    with pytest.raises(GdwatchError, match=r"faceres\.json: no graph model .* bytes of weights"):
        FaceRes(graph)
    weights.write_bytes(content[:-1])
    with pytest.raises(GdwatchError, match=r"faceres\.json: no graph model"):
        FaceRes(graph)
    weights.write_bytes(content)
    for changed in (whole.replace('"Relu"', '"Elu"'), whole.replace("U0FNRQ==", "VkFMSUQ="),
                    whole.replace("Mul", "Mu1"), whole[:-1], json.dumps([])):  # fmt: skip
        graph.write_text(changed)
        with pytest.raises(GdwatchError, match=r"faceres\.json: no graph model"):
            FaceRes(graph)
    weights.unlink()
    with pytest.raises(GdwatchError, match=r"get faceres\.json and faceres\.bin again"):
        FaceRes(graph)
