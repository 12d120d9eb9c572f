"""Files in the form of the published weights, and so small that they know next to nothing."""

from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper, save_model

from gdwatch.networks.pooled import PooledClassifier
from gdwatch.networks.surroundings import SurroundingsNetwork
from tests.train.published.dlib_file import written
from train.published import dlib

SIDE = 32  # of the box that the stand-in for CenterFace finds, in pixels of what it sees
SHARES = (0.4, 0.3, 0.4, 0.7, 0.6, 0.5, 0.8, 0.35, 0.8, 0.65)  # y and x of each landmark


def centerface(path: Path) -> None:
    """It takes red for a face: the score of a cell is how red that is."""

    def constant(name: str, values: list[float]) -> None:
        array = np.array(values, np.float32).reshape(1, -1, 1, 1)
        weights.append(numpy_helper.from_array(array, name))

    red = np.full((4, 4), 1 / 16 / 255, np.float32)
    weights = [numpy_helper.from_array(np.stack((red, -red / 2, -red / 2))[None], "red")]
    constant("none", [0.0])
    constant("size", [float(np.log(SIDE / 4))] * 2)
    constant("middle", [0.0, 0.0])
    constant("shares", list(SHARES))
    nodes = [
        helper.make_node("Conv", ["input.1", "red"], ["537"], strides=[4, 4]),
        helper.make_node("Mul", ["537", "none"], ["zero"]),
        helper.make_node("Add", ["zero", "size"], ["538"]),
        helper.make_node("Add", ["zero", "middle"], ["539"]),
        helper.make_node("Add", ["zero", "shares"], ["540"]),
    ]
    # As in the published file, which says that it takes ten pictures of 32 x 32.
    outputs = {"537": [10, 1, 8, 8], "538": [10, 2, 8, 8], "539": [10, 2, 8, 8],
               "540": [10, 10, 8, 8]}  # fmt: skip
    _save(nodes, {"input.1": [10, 3, 32, 32]}, outputs, weights, path)


def feature(path: Path) -> None:
    """It embeds a face by its mean colour."""
    dice = np.random.default_rng(0)
    spread = numpy_helper.from_array(dice.normal(size=(3, 512)).astype(np.float32), "spread")
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node("MatMul", ["colour", "spread"], ["output"]),
    ]
    _save(nodes, {"input": [1, 3, 112, 112]}, {"output": [1, 512]}, [spread], path)


def gender(path: Path) -> None:
    """It takes the brighter faces for male."""
    one = numpy_helper.from_array(np.array([[-1.0, 1.0]] * 3, np.float32), "one")
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node("MatMul", ["colour", "one"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"]),
    ]
    _save(nodes, {"images": ["N", 3, 32, 32]}, {"probabilities": ["N", 2]}, [one], path)


def mobilenet(path: Path) -> None:
    """The first two stages of the published network; a recipe may use fewer."""
    network = SurroundingsNetwork(stem=32, stages=[(1, 16, 1, 1), (6, 24, 2, 2)], head=8)
    torch.save(network.state_dict(), path)


def write_all(folder: Path) -> None:
    """Write all of them under the names of the published ones; dlib's is as large as that."""
    folder.mkdir()
    centerface(folder / "centerface.onnx")
    feature(folder / "fr_feature.onnx")
    gender(folder / "gender-v1.onnx")
    torch.manual_seed(0)
    mobilenet(folder / "mobilenet_v2-b0353104.pth")
    network = PooledClassifier(
        widths=[32, 64, 128, 256, 256], blocks=[3, 4, 3, 3, 1], mean=dlib.MEAN, std=dlib.STD
    )
    written(folder / "dlib_face_recognition_resnet_model_v1.dat", network)


def _save(nodes, inputs, outputs, weights, path):
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save_model(model, path)
