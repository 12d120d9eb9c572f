"""The model file with a new last layer: all else in it is the old model's."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from gdwatch.inference import model, model_file
from gdwatch.inference.model import Model
from train.metrics import Floats
from train.tuning.examples import face_network
from train.tuning.learnt import Learnt

_SUFFIX = "-tuned"


def write(loaded: Model, learnt: Learnt, file: Path) -> Path:
    """Write the model with the weights that were learnt. Raises GdwatchError."""
    network = face_network(loaded)
    assert network is not None
    _set(network.head, learnt.weights)
    old, now = loaded.details, datetime.now(UTC)
    details = old.model_copy(
        update={
            "name": old.name.removesuffix(_SUFFIX) + _SUFFIX,
            "version": f"{now:%Y.%m.%d}",
            "created": now.isoformat(timespec="seconds"),
            "min_confidence": round(learnt.min_confidence, 4),
            "trained_on": {
                **old.trained_on,
                "tuned": {"from": f"{old.name} {old.version}", "sha256": loaded.sha256,
                          "pictures": learnt.own.pictures},
            },
            "measures": {"split": "held out in turn", "pictures": learnt.own.pictures,
                         "own": asdict(learnt.own), "rehearsal": asdict(learnt.rehearsal)},
        }
    )  # fmt: skip
    model.save(file, replace(loaded, details=details), torch.int8)
    model.load(model_file.read(file))  # what the service would refuse must not leave this function
    return file


@torch.no_grad()
def _set(head: torch.nn.Linear, weights: Floats) -> None:
    told = torch.from_numpy(weights).float()
    head.weight[0], head.bias[0] = told[:-1], told[-1]
