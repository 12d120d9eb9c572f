"""Export the best epoch of a run as a calibrated model file with a model card."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from gdwatch.errors import UsageError
from gdwatch.inference import model, model_file
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import Details, Network, Preprocessing
from gdwatch.networks.classifier import Classifier
from gdwatch.networks.folding import fold
from gdwatch.networks.locator import Locator
from train.atomic_files import make_folder, publish
from train.data.prepared_set import Prepared
from train.data.sources import SPLITS
from train.detection import locator_run
from train.detection.crop_faces import MARGIN
from train.evaluation.evaluate import Evaluation, evaluate
from train.export.model_card import card, measures
from train.export.provenance import took_part
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


def export(  # noqa: PLR0913 - a run, and what a model file has besides
    folder: Path,
    file: Path,
    name: str,
    version: str,
    accuracy: float,
    locator: Path | None = None,
    closer: Path | None = None,
) -> Exported:
    """Write the best epoch of the run in `folder` as a model file, and the card beside it.

    accuracy: wanted of the accepted pictures of the split `val`, 0.5 to 1.
    locator, closer: the locators of both looks, a run or a model file each, for a classifier of
    face crops; a model file may have both.

    Raises GdwatchError.
    """
    run = checkpoint.load(folder)
    prepared = prepared_of(run, folder)
    recipe = run.basis.recipe
    if recipe.crop == "surroundings":
        raise UsageError(
            f"{folder}: surroundings alone are no model", "put it to a face with `gdtrain fuse`"
        )
    classifier = best_network(run)
    held_back = pictures_held_back(prepared, recipe)
    male = prepared.is_male()[held_back]
    val_logits = logits(classifier, prepared, held_back, recipe.input)
    temperature = fit_temperature(val_logits, male)
    threshold = choose_threshold(probabilities(val_logits, temperature), male, accuracy)
    described = Network(
        arch=recipe.network.arch,
        arguments=recipe.arguments | folded(recipe),
        input=recipe.input,
    )
    details = details_of(run, prepared, (name, version), described)
    details = with_calibration(details, temperature, threshold)
    bare = with_locators(Model(None, classifier, details, ""), open_locators(run, locator, closer))
    # Only now, when all is chosen, is the test split looked at.
    evaluation = evaluate(bare, prepared, "test", recipe.min_age)
    return write(bare, file, threshold, evaluation)


def best_network(run: Run) -> Classifier:
    """The network after its best epoch, batch norm folded."""
    classifier = run.average
    classifier.load_state_dict(run.best)
    fold(classifier)
    return classifier


def with_calibration(details: Details, temperature: float, threshold: Threshold) -> Details:
    """The details with what the split `val` has chosen."""
    return details.model_copy(
        update={"temperature": temperature, "min_confidence": threshold.min_confidence}
    )


def with_locators(bare: Model, looks: Sequence[tuple[Locator, Network]]) -> Model:
    """The model with the locators of its looks, none to two of them."""
    if not looks:
        return bare
    (first, described), closer = looks[0], looks[1] if len(looks) > 1 else None
    how = {"margin": MARGIN, "smallest_face": SMALLEST_FACE}
    details = bare.details.model_copy(
        update={
            "locator": described,
            "closer": closer and closer[1],
            "preprocessing": bare.details.preprocessing.model_copy(update=how),
        }
    )
    return replace(bare, locator=first, closer=closer and closer[0], details=details)


def write(found: Model, file: Path, threshold: Threshold, evaluation: Evaluation) -> Exported:
    """Write a model file with its measures, and the card beside it. Raises GdwatchError."""
    details = found.details.model_copy(update={"measures": measures(evaluation)})
    make_folder(file.parent)
    written_as = torch.float32 if found.locator is None else torch.float16
    model.save(file, replace(found, details=details), written_as)
    written = model_file.read(file)
    model.load(written)  # what the service would refuse must not leave this function
    with publish(file.with_name(CARD)) as aside:
        aside.write_text(card(details, evaluation), encoding="utf-8")
    return Exported(file, written.sha256, details.temperature, threshold, evaluation)


def open_locators(
    run: Run, first: Path | None, closer: Path | None
) -> list[tuple[Locator, Network]]:
    """The locators for a classifier of face crops; none for one of whole pictures."""
    if (first is None) != (run.basis.recipe.crop == "whole"):
        raise UsageError(
            f"the recipe learns from crop {run.basis.recipe.crop}",
            "give --locator to a network that learnt from faces, and to no other",
        )
    return [] if first is None else locator_run.load_looks(first, closer)


def details_of(
    run: Run, prepared: Prepared, named: tuple[str, str], classifier: Network
) -> Details:
    """What a model file says of a run, not calibrated yet. named: name and version."""
    recipe = run.basis.recipe
    return Details(
        format=2,
        name=named[0],
        version=named[1],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        locator=None,
        classifier=classifier,
        preprocessing=Preprocessing(
            upright=recipe.crop == "upright", mean=run.basis.mean, std=run.basis.std
        ),
        temperature=1.0,
        min_confidence=0.5,
        classes=("female", "male"),
        trained_on={
            "pictures": _pictures(prepared, recipe),
            "epoch": run.best_epoch.epoch,
            "epochs": len(recipe.sizes),
            "manifest_sha256": prepared.digest,
            "teacher_sha256": run.basis.teacher,
            "tutor_sha256": run.basis.tutor,
            "start_sha256": run.basis.start,
            "weights": took_part(run.basis),
            "history": [asdict(epoch) for epoch in run.history],
        },
        measures={},
        recipe=recipe.model_dump(mode="json"),
    )


def folded(recipe: Recipe) -> dict[str, bool]:
    """The argument of a network that had batch norms."""
    had_norms = recipe.network.arch in ("residual", "ensemble", "surroundings")
    return {"folded": True} if had_norms else {}


def _pictures(prepared: Prepared, recipe: Recipe) -> Mapping[str, Mapping[str, int]]:
    """How many pictures of each source there are in training, validation and test."""
    rows = {split: prepared.select(split, recipe.min_age) for split in SPLITS}
    rows["train"] = pictures_of_an_epoch(prepared, recipe)
    rows["val"] = pictures_held_back(prepared, recipe)
    counts = Counter((prepared.rows[row].source, split) for split in SPLITS for row in rows[split])
    sources = sorted({source for source, _ in counts})
    return {source: {split: counts[source, split] for split in SPLITS} for source in sources}
