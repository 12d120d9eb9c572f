"""Judge prepared pictures with a finished model, as the service judges photographs."""

import torch

from gdwatch.inference.faces import Judgement
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import Details
from gdwatch.inference.predictor import PlainPredictor
from gdwatch.networks.two_inputs import TwoInputClassifier
from train.data.prepared_set import Indices, Prepared, View
from train.data.tensors import read_pictures, shrink

_BATCH = 128


def view_of(details: Details) -> View:
    """The view that a model sees of a photograph, the first of two where it has two inputs."""
    if details.locator is None:
        return "whole"
    return "upright" if details.preprocessing.upright else "face"


def judge(model: Model, prepared: Prepared, rows: Indices, device: torch.device) -> list[Judgement]:
    """Judge some rows with all that the model sees of them: the surroundings too, and the size.

    prepared: in any view; those that the model sees are read.

    Raises GdwatchError if these were not cut out.
    """
    least = model.details.min_confidence
    predictor = PlainPredictor(model, device, borders=(0.5, least, 1 - least), locate=False)
    seen = prepared.in_view(view_of(model.details))
    both = predictor.classifier if isinstance(predictor.classifier, TwoInputClassifier) else None
    around = prepared.in_view("surroundings") if both is not None else None
    judged: list[Judgement] = []
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        squares = shrink(read_pictures(seen, some), predictor.side).permute(0, 2, 3, 1).numpy()
        sizes = torch.tensor([seen.crop(row).size if seen.crops else 0.0 for row in some.tolist()])
        beside = None
        if both is not None and around is not None:
            looks = both.looks_around(sizes).numpy()
            beside = around.pixels(some[looks]) if looks.any() else None
        judged += predictor.classify(squares, sizes, beside)[0]
    return judged
