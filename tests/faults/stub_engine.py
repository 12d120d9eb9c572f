"""Stands in the engine's place: the toy model, without torch, ready in hundredths of a second.

It speaks as `gdwatch.processes.engine` does. A model file may ask for more by `recipe` in its
metadata: `{"stub": "contrary"}` turns every answer round, `"refuse"` fails the self-test, `"die"`
ends the process at its start, `"die_on_batch"` at the first batch, `"hang"` never becomes ready.
"""

import json
import mmap
import os
import signal
from socket import socket
from typing import Any

from gdwatch.processes import messages, parent
from tests.faults import toy


def main() -> None:
    """Say that the model is ready, or why not; then serve the parent until it goes."""
    channel, start, (memory, weights, *forks) = parent.connect()
    with os.fdopen(weights, "rb") as file:
        wish = _wish(file.read())
    if wish == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if wish == "hang":
        signal.pause()
    if wish == "refuse":
        parent.send(channel, {"refused": "model fails its self-test", "hint": "train it again"})
        return
    first, channel = channel, parent.multiplied(channel, forks)
    if channel is first:  # and so all are there
        parent.send(channel, {"ready": True, "device": "cpu"})
    _serve(channel, start, memory, wish)


def _serve(channel: socket, start: messages.Packet, memory: int, wish: str) -> None:
    photo = start["layout"]["photo"] ** 2 * 3
    pixels = mmap.mmap(memory, start["slots"] * photo)
    while True:
        packet, _ = parent.receive(channel)
        if packet is None:
            return
        if wish == "die_on_batch":
            os.kill(os.getpid(), signal.SIGKILL)
        scores: list[Any] = []
        for slot, (width, height) in zip(packet["slots"], packet["sizes"], strict=True):
            at = slot * photo
            p = toy.p_of(pixels[at : at + width * height * 3], width, height)
            scores.append([1 - p if wish == "contrary" else p, None, [], 0.0, 0])
        parent.send(channel, {"scores": scores, "infer_ms": 0.1, "splits": 0})


def _wish(content: bytes) -> str:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    details = json.loads(header["__metadata__"]["gdwatch"])
    return str(details["recipe"].get("stub", ""))


if __name__ == "__main__":
    main()
