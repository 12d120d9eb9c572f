"""The engine: photographs in slots in, probabilities out. The only process that has torch."""

import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gdwatch import children, model, model_file
from gdwatch.crop import Pixels
from gdwatch.errors import ActionNeeded
from gdwatch.slots import Slots

# Half precision moves a probability by less than this (measured as the largest of a thousand
# photographs, with room); whatever lies nearer to a decision is judged again in float32.
_HALF_DOUBT = 0.02


def main() -> None:
    """Say that the model is ready, or why not; then serve the parent until it goes."""
    channel, start, (memory, weights) = children.parent(descriptors=2)
    torch.set_num_threads(1)
    slots = Slots(start["slots"], start["side"], memory)
    try:
        with os.fdopen(weights, "rb") as file:
            loaded = model.load(model_file.parse(Path(start["model"]), file.read()))
        engine = Engine(
            loaded.classifier,
            choose_device(start["device"]),
            temperature=loaded.details.temperature,
            borders=(0.5, start["min_confidence"], 1 - start["min_confidence"]),
        )
        engine.test(slots.side)
    except ActionNeeded as error:
        children.send(channel, {"refused": error.message, "hint": error.hint})
        return
    children.send(channel, {"ready": True, "device": str(engine.device)})
    while True:
        packet, _ = children.receive(channel)
        if packet is None:
            return
        began = time.perf_counter()
        p_male, splits = engine.judge(slots.pixels[packet["slots"]])
        infer_ms = (time.perf_counter() - began) * 1000
        children.send(channel, {"p_male": p_male, "infer_ms": infer_ms, "splits": splits})


def choose_device(wanted: str) -> torch.device:
    """`auto` is a GPU where there is one. Raises ActionNeeded where the wanted one is not there."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ActionNeeded(
            f"device {wanted}: not there, {torch.cuda.device_count()} CUDA devices are",
            "set `device` to auto or cpu, or look after the driver (`nvidia-smi`)",
        )
    return device


class Engine:
    """A classifier on a device.

    temperature: divides the logit (Guo et al. 2017, arXiv:1706.04599).
    borders: probabilities at which a decision changes.
    half: judge in half precision, and in float32 again what lies near a border; by default on CUDA.
    """

    def __init__(
        self,
        classifier: nn.Module,
        device: torch.device,
        *,
        temperature: float,
        borders: Sequence[float],
        half: torch.dtype | None = None,
    ) -> None:
        self.device = device
        self.classifier = classifier.eval().to(device).to(memory_format=torch.channels_last)
        self.temperature = temperature
        self.borders = torch.tensor(tuple(borders))
        self.half = torch.float16 if half is None and device.type == "cuda" else half

    def judge(self, photos: Pixels) -> tuple[list[float], int]:
        """Give the probability of `male` for each photograph.

        photos: uint8 (B, side, side, 3), RGB.

        Returns B probabilities, and how often the batch had to be halved for want of memory.
        Raises torch.OutOfMemoryError if even one photograph does not fit.
        """
        batch = torch.from_numpy(np.ascontiguousarray(photos))
        p_male, splits = in_halves(self._probabilities, batch)
        if self.half is not None:
            near = (p_male[:, None] - self.borders).abs().amin(1) < _HALF_DOUBT
            if bool(near.any()):
                p_male = p_male.clone()  # what inference mode has made cannot be written to
                p_male[near], more = in_halves(self._exact, batch[near])
                splits += more
        return p_male.tolist(), splits

    def test(self, side: int) -> None:
        """Run everything once, on black, white and noise.

        Raises ActionNeeded if an answer is no number: weights that are may still overflow.
        """
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3))
        photos = np.stack([np.zeros_like(noise), np.full_like(noise, 255), noise]).astype(np.uint8)
        p_male, _ = self.judge(photos)
        if not all(map(math.isfinite, p_male)):
            raise ActionNeeded(
                f"model fails its self-test: probabilities {p_male}",
                "train it again, or set `model` to another",
            )

    def _probabilities(self, batch: Tensor) -> Tensor:
        with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
            return self._exact(batch)

    @torch.inference_mode()
    def _exact(self, batch: Tensor) -> Tensor:
        if self.device.type == "cuda":
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        # (B, H, W, 3) seen as (B, 3, H, W) is channels_last already: nothing is copied.
        logits = self.classifier(batch.permute(0, 3, 1, 2)).float()
        return torch.sigmoid(logits / self.temperature).cpu()


def in_halves(forward: Callable[[Tensor], Tensor], batch: Tensor) -> tuple[Tensor, int]:
    """Run a batch; where memory runs out, run its halves instead, and theirs.

    Returns what `forward` returns for the whole batch, and how many times it was halved.
    Raises torch.OutOfMemoryError if one row alone does not fit.
    """
    try:
        return forward(batch), 0
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    # Only here, outside the handler: its traceback keeps the failed batch's tensors alive.
    torch.cuda.empty_cache()  # does nothing where there is no card
    middle = len(batch) // 2
    first, first_splits = in_halves(forward, batch[:middle])
    second, second_splits = in_halves(forward, batch[middle:])
    return torch.cat((first, second)), first_splits + second_splits + 1


if __name__ == "__main__":
    main()
