"""The engine process: scores the photographs in the slots. The only child that imports torch."""

import faulthandler
import os
import socket
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gdwatch.cuda.self_test import on_card
from gdwatch.decode.reduce import Pixels, Reduction
from gdwatch.errors import ActionNeeded
from gdwatch.files import standard_error
from gdwatch.inference import model, model_file
from gdwatch.inference.cascade import CascadePredictor
from gdwatch.inference.device import choose_device
from gdwatch.inference.predictor import (
    DOUBT,
    Finish,
    PlainPredictor,
    Predictor,
    warn_fallback,
)
from gdwatch.processes import messages, parent
from gdwatch.processes.slots import Slots

_CARD = "cuda"  # the device type with a faster predictor


def main() -> None:
    """Load the model, report that it is ready or refused, then serve the parent until it ends.

    Given channels for forks, the process forks after loading: all share torch's memory.
    """
    standard_error.keep()
    faulthandler.enable()  # nothing else says why a fork crashed
    channel, start, (memory, *descriptors) = parent.connect()
    weights, forks = descriptors[: len(start["models"])], descriptors[len(start["models"]) :]
    torch.set_num_threads(1)
    slots = Slots(start["slots"], Reduction(**start["layout"]), memory)
    try:
        device = choose_device(start["device"])
        first, *others = [
            _plain(each, descriptor, device, locate=not slots.layout.whole)
            for each, descriptor in zip(start["models"], weights, strict=True)
        ]
        predictor = _fastest(first, slots.photos, only_plain=start["plain"])
        for second in others:
            predictor = CascadePredictor(predictor, second)
    except ActionNeeded as error:
        parent.send(channel, {"refused": error.message, "hint": error.hint})
        return
    try:
        own, channel = channel, parent.multiplied(channel, forks)
    except OSError as error:
        reason = f"the engine cannot fork: {error.strerror}"
        hint = "allow more processes or memory, or set `workers` lower"
        parent.send(channel, {"refused": reason, "hint": hint})
        return
    if channel is own:  # the first process returns last, after every fork
        parent.send(channel, {"ready": True, "device": str(device)})
    serve(channel, slots, predictor)


def _plain(
    told: Mapping[str, Any], weights: int, device: torch.device, *, locate: bool
) -> PlainPredictor:
    """A predictor for one model that has passed its self-test.

    told: the model's path and its min_confidence. weights: the descriptor of its bytes.
    """
    least = told["min_confidence"]
    with os.fdopen(weights, "rb") as file:
        loaded = model.load(model_file.parse(Path(told["path"]), file.read()))
    plain = PlainPredictor(loaded, device, borders=(0.5, least, 1 - least), locate=locate)
    plain.test()
    return plain


def _fastest(plain: PlainPredictor, slots: Pixels, *, only_plain: bool) -> Predictor:
    """The fastest predictor that the device allows.

    only_plain: avoid the predictor for cards; the engine before this one may have died of it.
    """
    if plain.device.type != _CARD:
        return plain
    if only_plain:
        warn_fallback(plain.device, "an engine before this one has ended")
        return plain
    return on_card(plain, slots, DOUBT)


def serve(channel: socket.socket, slots: Slots, predictor: Predictor) -> None:
    """Answer batches in the order received, until the parent ends.

    While more batches wait, up to `predictor.depth` of them are in flight.
    """
    begun: deque[tuple[float, Finish]] = deque()
    answered_at = 0.0
    while True:
        if not begun or (len(begun) < predictor.depth and parent.has_packet(channel)):
            packet, _ = parent.receive(channel)
            if packet is None:
                return
            began_at = time.perf_counter()
            numbers, sizes = packet["slots"], packet["sizes"]
            photos = [slots.photo(slot, size) for slot, size in zip(numbers, sizes, strict=True)]
            begun.append((began_at, predictor.begin(photos)))
            continue
        began_at, finish = begun.popleft()
        result = finish()
        began_at = max(began_at, answered_at)  # overlapping time counts for the earlier batch
        answered_at = time.perf_counter()
        infer_ms = (answered_at - began_at) * 1000
        for packet in messages.answers_of(result.scores, infer_ms, result.splits):
            parent.send(channel, packet)


if __name__ == "__main__":
    main()
