"""Export the best epoch of a run as a calibrated model file with a model card."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from gdwatch.errors import UsageError
from gdwatch.inference import model, model_file
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import Details, Network, Preprocessing
from gdwatch.networks.folding import fold
from gdwatch.networks.locator import Locator
from train.atomic_files import make_folder, publish
from train.data.prepared_set import Prepared
from train.data.sources import SPLITS
from train.detection import locator_run
from train.detection.crop_faces import MARGIN
from train.evaluation.evaluate import Evaluation, evaluate
from train.export.model_card import card, measures
from train.fitting import checkpoint
from train.fitting.checkpoint import Run
from train.fitting.fit import prepared_of
from train.fitting.predict import logits
from train.fitting.recipe import Recipe
from train.fitting.selection import pictures_held_back, pictures_of_an_epoch
from train.metrics import Threshold, choose_threshold, fit_temperature, probabilities

ACCURACY = 0.99  # of the accepted pictures, by default
CARD = "MODEL_CARD.md"
SMALLEST_FACE = 10  # pixels of the thumbnail: the smallest that the locator finds


@dataclass(frozen=True, slots=True)
class Exported:
    """The model file, its calibration on the split `val`, and its evaluation on `test`."""

    file: Path
    sha256: str
    temperature: float
    threshold: Threshold
    evaluation: Evaluation


def export(
    folder: Path,
    file: Path,
    name: str,
    version: str,
    accuracy: float,
    locator: Path | None = None,
) -> Exported:
    """Write the best epoch of the run in `folder` as a model file, and the card beside it.

    accuracy: wanted of the accepted pictures of the split `val`, 0.5 to 1.
    locator: a locator's run or a model file with one, for a classifier of face crops.

    Raises GdwatchError.
    """
    run = checkpoint.load(folder)
    prepared = prepared_of(run, folder)
    recipe = run.basis.recipe
    classifier = run.average
    classifier.load_state_dict(run.best)
    fold(classifier)
    held_back = pictures_held_back(prepared, recipe)
    male = prepared.is_male()[held_back]
    val_logits = logits(classifier, prepared, held_back, recipe.input)
    temperature = fit_temperature(val_logits, male)
    threshold = choose_threshold(probabilities(val_logits, temperature), male, accuracy)
    details = _details(run, prepared, (name, version), temperature, threshold)
    found = _open_locator(run, locator)
    if found is not None:
        details = details.model_copy(
            update={
                "locator": found[1],
                "preprocessing": details.preprocessing.model_copy(
                    update={"margin": MARGIN, "smallest_face": SMALLEST_FACE}
                ),
            }
        )
    # Only now, when all is chosen, is the test split looked at.
    evaluation = evaluate(Model(None, classifier, details, ""), prepared, "test", recipe.min_age)
    details = details.model_copy(update={"measures": measures(evaluation)})
    make_folder(file.parent)
    locator_ = None if found is None else found[0]
    written_as = torch.float32 if found is None else torch.float16
    model.save(file, Model(locator_, classifier, details, ""), written_as)
    written = model_file.read(file)
    model.load(written)  # what the service would refuse must not leave this function
    with publish(file.with_name(CARD)) as aside:
        aside.write_text(card(details, evaluation), encoding="utf-8")
    return Exported(file, written.sha256, temperature, threshold, evaluation)


def _open_locator(run: Run, path: Path | None) -> tuple[Locator, Network] | None:
    """The locator for a classifier of face crops; None for one of whole pictures."""
    if (path is None) != (run.basis.recipe.crop == "whole"):
        raise UsageError(
            f"the recipe learns from crop {run.basis.recipe.crop}",
            "give --locator to a network that learnt from faces, and to no other",
        )
    return None if path is None else locator_run.load(path)


def _details(
    run: Run,
    prepared: Prepared,
    named: tuple[str, str],
    temperature: float,
    threshold: Threshold,
) -> Details:
    recipe = run.basis.recipe
    return Details(
        format=1,
        name=named[0],
        version=named[1],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        locator=None,
        classifier=Network(
            arch=recipe.network.arch,
            arguments=recipe.arguments | _folded(recipe),
            input=recipe.input,
        ),
        preprocessing=Preprocessing(mean=run.basis.mean, std=run.basis.std),
        temperature=temperature,
        min_confidence=threshold.min_confidence,
        classes=("female", "male"),
        trained_on={
            "pictures": _pictures(prepared, recipe),
            "epoch": run.best_epoch.epoch,
            "epochs": len(recipe.sizes),
            "manifest_sha256": prepared.digest,
            "teacher_sha256": run.basis.teacher,
            "tutor_sha256": run.basis.tutor,
            "start_sha256": run.basis.start,
            "history": [asdict(epoch) for epoch in run.history],
        },
        measures={},
        recipe=recipe.model_dump(mode="json"),
    )


def _folded(recipe: Recipe) -> dict[str, bool]:
    return {"folded": True} if recipe.network.arch in ("residual", "ensemble") else {}


def _pictures(prepared: Prepared, recipe: Recipe) -> Mapping[str, Mapping[str, int]]:
    """How many pictures of each source there are in training, validation and test."""
    rows = {split: prepared.select(split, recipe.min_age) for split in SPLITS}
    rows["train"] = np.unique(pictures_of_an_epoch(prepared, recipe))
    rows["val"] = pictures_held_back(prepared, recipe)
    counts = Counter((prepared.rows[row].source, split) for split in SPLITS for row in rows[split])
    sources = sorted({source for source, _ in counts})
    return {source: {split: counts[source, split] for split in SPLITS} for source in sources}
