"""Open published networks in the format ONNX."""

from pathlib import Path

import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx.checker import ValidationError
from onnxruntime import InferenceSession
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from gdwatch.errors import GdwatchError

_REFUSED = (runtime.Fail, runtime.InvalidProtobuf, runtime.InvalidGraph, runtime.InvalidArgument,
            runtime.NotImplemented, DecodeError, ValidationError, ValueError)  # fmt: skip


def open_session(
    path: Path, names: tuple[str, ...], free: tuple[int, ...] = ()
) -> InferenceSession:
    """Make a network ready to run, on a GPU where the installed onnxruntime can.

    names: of its input and its outputs.
    free: axes of these that are made dynamic, whatever lengths the file says.

    Raises GdwatchError.
    """
    try:
        network = onnx.load(path)
        _loosen(network, names, free)
    except _REFUSED as error:
        raise _no_network(path, error) from error
    return start_session(path, network, names)


def start_session(path: Path, network: onnx.ModelProto, names: tuple[str, ...]) -> InferenceSession:
    """Make a network ready that was read from `path`; names: as for `open_session`.

    Raises GdwatchError.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about how the file was made
    # Denormal numbers take a CPU ten times as long as others, and some networks have many.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    try:
        session = InferenceSession(
            network.SerializeToString(), options, providers=onnxruntime.get_available_providers()
        )
    except _REFUSED as error:
        raise _no_network(path, error) from error
    there = {each.name for each in (*session.get_inputs(), *session.get_outputs())}
    if not there >= set(names):
        raise GdwatchError(
            f"{path}: has {', '.join(sorted(there))} and not {', '.join(names)}",
            "get the file of the named package",
        )
    return session


def _no_network(path: Path, error: Exception) -> GdwatchError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return GdwatchError(f"{path}: no network of ONNX ({first})", "get the file again")


def _loosen(network: onnx.ModelProto, names: tuple[str, ...], free: tuple[int, ...]) -> None:
    for value in (*network.graph.input, *network.graph.output):
        if value.name in names:
            for axis in free:
                length = value.type.tensor_type.shape.dim[axis]
                length.Clear()
                length.dim_param = f"{value.name} {axis}"
