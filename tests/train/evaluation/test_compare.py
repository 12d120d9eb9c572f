from dataclasses import replace
from pathlib import Path

import torch

from gdwatch.inference import model, model_file
from tests.train.build import trained
from train.data.prepared_set import Prepared
from train.evaluation.compare import compare
from train.export.export import export
from train.fitting.recipe import Recipe


def test_of_two_models_that_answer_alike_neither_is_better(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    run = trained(prepared, recipe, tmp_path / "run")
    one = model.load(model_file.read(export(run, tmp_path / "m.st", "m", "1", 0.99).file))
    found = compare(one, replace(one, sha256="other"), prepared, "train", 10)
    assert list(found) == ["faces", "all"]
    assert (found["all"].only_first, found["all"].only_second, found["all"].p_value) == (0, 0, 1)


def test_a_model_that_says_the_opposite_is_worse_on_what_the_other_gets_right(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    run = trained(prepared, recipe, tmp_path / "run")
    file = export(run, tmp_path / "m.st", "m", "1", 0.99).file
    one, other = (model.load(model_file.read(file)) for _ in range(2))
    with torch.no_grad():
        for weights in list(other.classifier.parameters())[-2:]:
            weights.neg_()
    other = replace(other, sha256="other")
    found = compare(one, other, prepared, "train", 10)["all"]
    assert found.only_first > found.only_second
    assert found.balanced_accuracy[0] > 0.8 > 0.2 > found.balanced_accuracy[1]
    assert found.p_value < 0.001
