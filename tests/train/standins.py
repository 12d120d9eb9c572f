"""Files in the form of the published weights, and so small that they know next to nothing."""

import base64
import json
from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper, save_model

from gdwatch.networks.pooled import PooledClassifier
from tests.train.published import mobilenet_file
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


def faceres(folder: Path) -> dict[str, np.ndarray]:
    """Write faceres.json and faceres.bin with an operation of each kind; returns the constants.

    The weights lie there in half precision, and come back as they are read.
    """
    dice = np.random.default_rng(1)
    shapes = {
        "first": (3, 3, 3, 4), "offset": (4,), "six": (), "none": (), "deep": (3, 3, 4, 1),
        "scale": (4,), "wide": (1, 1, 4, 1024), "sides": (2,), "dense": (1024, 8),
        "dense_bias": (8,), "sex": (8, 1), "sex_bias": (1,), "age": (8, 3), "age_bias": (3,),
    }  # fmt: skip
    constants = {name: dice.normal(0, 0.3, shape) for name, shape in shapes.items()}
    constants |= {"six": np.array(6.0), "none": np.array(0.0), "first": constants["first"] / 100}
    stored = {name: value.astype("<f2") for name, value in constants.items()}
    stored["sides"] = np.array([1, 2], "<i4")
    half = {"dtype": "float16", "original_dtype": "float32"}
    manifest = [
        {"name": name, "shape": list(value.shape), "dtype": "int32"} if name == "sides" else
        {"name": name, "shape": list(value.shape), "dtype": "float32", "quantization": half}
        for name, value in stored.items()
    ]  # fmt: skip
    nodes = [
        _node("input_1", "Placeholder"),
        *(_node(name, "Const") for name in stored),
        _convolution("a", "Conv2D", ["input_1", "first"], 2),
        _node("b", "Add", "a", "offset"),
        _node("c", "Relu", "b"),
        _node("d", "Minimum", "c", "six"),
        _node("e", "Maximum", "d", "none"),
        _convolution("f", "DepthwiseConv2dNative", ["e", "deep"], 2),
        _node("g", "Mul", "f", "scale"),
        _convolution("h", "Conv2D", ["g", "wide"], 1),
        _node("global_pooling/Mean", "Mean", "h", "sides"),
        _dense("feats", ["global_pooling/Mean", "dense", "dense_bias"], ["BiasAdd", "Relu"]),
        _dense("gender_pred/BiasAdd", ["feats", "sex", "sex_bias"], ["BiasAdd"]),
        _dense("age_pred/BiasAdd", ["feats", "age", "age_bias"], ["BiasAdd"]),
        _node("age_pred/Softmax", "Softmax", "age_pred/BiasAdd"),
    ]
    written = {"format": "graph-model", "modelTopology": {"node": nodes},
               "weightsManifest": [{"paths": ["faceres.bin"], "weights": manifest}]}  # fmt: skip
    (folder / "faceres.json").write_text(json.dumps(written))
    (folder / "faceres.bin").write_bytes(b"".join(each.tobytes() for each in stored.values()))
    return {name: value.astype(np.float32) for name, value in stored.items()}


def _node(name: str, op: str, *inputs: str, **attr: object) -> dict[str, object]:
    return {"name": name, "op": op, "input": list(inputs), "attr": attr}


def _convolution(name: str, op: str, inputs: list[str], stride: int) -> dict[str, object]:
    strides = {"list": {"i": ["1", str(stride), str(stride), "1"]}}
    return _node(name, op, *inputs, strides=strides, padding={"s": _encoded("SAME")})


def _dense(name: str, inputs: list[str], after: list[str]) -> dict[str, object]:
    fused = {"list": {"s": [_encoded(each) for each in after]}}
    return _node(name, "_FusedMatMul", *inputs, fused_ops=fused)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def write_all(folder: Path) -> None:
    """Write all of them under the names of the published ones; two are as large as those."""
    folder.mkdir()
    centerface(folder / "centerface.onnx")
    feature(folder / "fr_feature.onnx")
    gender(folder / "gender-v1.onnx")
    faceres(folder)
    mobilenet_file.written(folder / "mobilenet_v2-b0353104.pth")
    torch.manual_seed(0)
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
