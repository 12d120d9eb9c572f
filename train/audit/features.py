"""Embeddings of prepared pictures by the shipped model `whole`, to compare pictures by."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from rich.console import Console
from rich.progress import track
from torch import Tensor

from gdwatch.inference import model, model_file
from gdwatch.networks.classifier import Classifier
from train.atomic_files import publish
from train.data.prepared_set import Prepared
from train.data.tensors import read_pictures, shrink
from train.metrics import Floats

FEATURES = "features.npz"
MODEL = "whole"
_BATCH = 128


def features(prepared: Prepared) -> Floats:
    """The embedding of every picture, the mean over four views of it; float64 (N, D).

    The result is kept in FEATURES, and computed once for the same pictures and the same model.
    """
    loaded = model.load(model_file.read(model_file.find(MODEL)))
    path = prepared.folder / FEATURES
    basis = f"{prepared.digest} {loaded.sha256}"
    kept = _read(path, basis)
    if kept is not None:
        return kept
    computed = _compute(loaded.classifier, loaded.details.classifier.input, prepared)
    with publish(path) as aside, aside.open("wb") as stream:
        np.savez(stream, basis=basis, features=computed.astype(np.float32))
    return computed


def standardised(embedded: Floats) -> Floats:
    """Embeddings with mean 0 and standard deviation 1 in each dimension, (N, D)."""
    standard: Floats = (embedded - embedded.mean(0)) / (embedded.std(0) + 1e-9)
    return standard


def _read(path: Path, basis: str) -> Floats | None:
    try:
        with np.load(path) as kept:
            if str(kept["basis"]) == basis:
                return np.asarray(kept["features"], dtype=np.float64)
    except (OSError, ValueError, KeyError):
        pass  # missing or damaged: the embeddings are computed anew
    return None


def _compute(network: Classifier, size: int, prepared: Prepared) -> Floats:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    console = Console(stderr=True)
    starts = range(0, len(prepared.rows), _BATCH)
    parts: list[Tensor] = []
    with torch.inference_mode():
        for start in track(starts, "looking", console=console, disable=not console.is_terminal):
            rows = np.arange(start, min(start + _BATCH, len(prepared.rows)))
            views = _views(shrink(read_pictures(prepared, rows, device), size))
            parts.append(torch.stack([network.embed(view) for view in views]).mean(0).cpu())
    return torch.cat(parts).double().numpy()


def _views(photos: Tensor) -> list[Tensor]:
    """Test-time augmentation: the picture, the same from a little farther away, and both mirrored.

    photos: uint8 (B, 3, S, S).
    """
    border = photos.shape[-1] // 16
    farther = shrink(F.pad(photos, [border] * 4, mode="replicate"), photos.shape[-1])
    return [photos, photos.flip(3), farther, farther.flip(3)]
