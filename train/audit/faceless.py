"""The highest detection score of the shipped locator on each prepared picture."""

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track

from gdwatch.decode.reduce import Pixels
from gdwatch.inference import model, model_file
from gdwatch.inference.detection import scores_and_boxes, thumbnails
from train.data.prepared_set import Prepared
from train.metrics import Floats

MODEL = "accurate"
_BATCH = 64


def best_scores(prepared: Prepared) -> tuple[Floats, float]:
    """The highest detection score of every picture, (N,), and the least score of a face.

    Prepared pictures are squeezed into a square and small. Stretched to their own shape again, they
    get nearly the scores of the photographs.
    """
    loaded = model.load(model_file.read(model_file.find(MODEL)))
    locator, details = loaded.locator, loaded.details.locator
    assert locator is not None  # the shipped model has one
    assert details is not None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    locator.to(device)
    console = Console(stderr=True)
    starts = range(0, len(prepared.rows), _BATCH)
    parts = []
    for start in track(starts, "locating", console=console, disable=not console.is_terminal):
        rows = np.arange(start, min(start + _BATCH, len(prepared.rows)))
        shown = [_stretched(square, prepared.rows[row].width, prepared.rows[row].height,
                            details.input)
                 for row, square in zip(rows, prepared.pixels(rows), strict=True)]  # fmt: skip
        with torch.inference_mode():
            answer = locator(torch.from_numpy(np.stack(shown)).to(device).permute(0, 3, 1, 2))
        parts.append(scores_and_boxes(answer)[0].max(1).values.cpu())
    return torch.cat(parts).double().numpy(), locator.threshold


def _stretched(square: Pixels, width: int, height: int, side: int) -> Pixels:
    """A thumbnail of a squeezed picture, stretched to the shape of its original."""
    scale = side / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    stretched = Image.fromarray(square).resize(size, Image.Resampling.BILINEAR)
    return thumbnails([np.array(stretched)], side)[0].numpy()
