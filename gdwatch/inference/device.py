"""Chooses the device and the precision of networks: the fastest that is accurate enough."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from gdwatch.errors import ActionNeeded
from gdwatch.networks import quantised
from gdwatch.networks.classifier import Classifier
from gdwatch.networks.fused import computes_in, fuse
from gdwatch.networks.two_inputs import FACE, TwoInputClassifier

Network = TypeVar("Network", bound=nn.Module)

# Processor flags for bfloat16 products; without them, bfloat16 takes ten times as long as float32.
# It changes a probability by 0.02 at most (of a thousand photographs): accurate enough.
_BFLOAT16 = {"avx512_bf16", "amx_bf16"}
_CPUINFO = Path("/proc/cpuinfo")


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a CPU tensor on `device`; the copy to a GPU is asynchronous."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def fetched(answer: Tensor) -> Tensor:
    """Return a copy on the CPU; one from a GPU is valid once the stream has passed this point."""
    copy = torch.empty(answer.shape, dtype=answer.dtype, pin_memory=answer.is_cuda)
    return copy.copy_(answer, non_blocking=True)


def fastest(device: torch.device, *, is_ranged: bool = False) -> torch.dtype:
    """Return the precision in which a device is fastest; uint8 stands for `quantised`.

    is_ranged: as in `Model`.
    """
    if device.type == "cuda":
        return torch.float16
    if is_ranged and quantised.is_fast():
        return torch.uint8
    lines = _CPUINFO.read_text().splitlines()
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    is_fast = _BFLOAT16.intersection(flags) and computes_in(torch.bfloat16)
    return torch.bfloat16 if is_fast else torch.float32


def ready(
    network: Network,
    ranges: Mapping[str, float] | None,
    precision: torch.dtype,
    device: torch.device,
) -> Network:
    """Return a copy of a network for service on a device; it cannot be trained any more.

    ranges: as in the model file; only uint8 needs them.
    """
    if isinstance(network, TwoInputClassifier):
        return _ready_parts(network, ranges, precision, device)
    if precision is torch.uint8:
        assert ranges is not None
        return quantised.quantise(network, ranges)
    if isinstance(network, Classifier):
        network = network.in_precision(precision)
    else:
        network = copy.deepcopy(network).to(precision)
    network = network.eval().to(device).to(memory_format=torch.channels_last)
    if device.type == "cpu":
        fuse(network)
    return network


def _ready_parts(
    network: Network,
    ranges: Mapping[str, float] | None,
    precision: torch.dtype,
    device: torch.device,
) -> Network:
    """As `ready`: only the face's network computes in 8-bit integers."""
    assert isinstance(network, TwoInputClassifier)
    assert isinstance(network.face, Classifier)
    floats = fastest(device) if precision is torch.uint8 else precision
    floats = torch.float32 if floats is torch.bfloat16 else floats
    converted = copy.deepcopy(network).in_precision(floats).eval().to(device)
    converted.surroundings = converted.surroundings.to(memory_format=torch.channels_last)
    if device.type == "cpu":
        fuse(converted.surroundings)
    named = (
        None
        if ranges is None
        else {name.removeprefix(FACE): largest for name, largest in ranges.items()}
    )
    converted.face = ready(network.face, named, precision, device)
    return converted


def choose_device(wanted: str) -> torch.device:
    """Return the device that the setting `device` names; `auto` is a GPU where there is one.

    Raises ActionNeeded if the device is not there.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ActionNeeded(
            f"device {wanted}: not there, {torch.cuda.device_count()} CUDA devices are",
            "set `device` to auto or cpu, or look after the driver (`nvidia-smi`)",
        )
    return device
