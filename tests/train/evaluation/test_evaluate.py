from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gdwatch.errors import GdwatchError
from gdwatch.inference import model, model_file
from gdwatch.inference.faces import Detection
from gdwatch.inference.predictor import PlainPredictor
from tests.train.build import FACE_BOX, trained, two_input_model
from train.data import prepared_set
from train.data.prepared_set import Prepared
from train.data.sources import entries
from train.detection.centerface import read_photograph
from train.evaluation.evaluate import evaluate, predict
from train.export.export import export
from train.fitting.recipe import Recipe


def test_an_empty_split_cannot_be_evaluated(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    done = export(
        trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1", 0.99
    )
    loaded = model.load(model_file.read(done.file))
    nothing = replace(prepared, rows=[])
    with pytest.raises(GdwatchError, match="split test is empty"):
        evaluate(loaded, nothing, "test", 10)


def test_a_model_with_two_inputs_is_judged_with_both_as_the_service_does(
    three_views: Path,
) -> None:
    made = two_input_model()
    prepared = prepared_set.load(three_views)
    found = predict(made, prepared, "test", 10)
    photographs = {entry.path: entry for entry in entries([three_views.parent / "faces"])}
    service = PlainPredictor(made, torch.device("cpu"), borders=(), locate=False)
    for row, p_male, sure in zip(found.rows.tolist(), found.p_male, found.sure, strict=True):
        photo, _ = read_photograph(photographs[prepared.rows[row].path])
        ((scores,), _) = service.judge_faces([photo], [[Detection(FACE_BOX, 0.9)]])
        assert p_male == pytest.approx(scores.faces[0].p_male, abs=0.02)
        assert sure == 0  # such a face is `small_face`
    with torch.no_grad():
        made.classifier.male[2:4] = 0.0
    alone = predict(made, prepared, "test", 10).p_male
    assert np.abs(alone - found.p_male).mean() > 0.05
    assert np.ptp(found.p_male) > 0.02


def test_what_the_service_leaves_unsure_is_not_accepted(three_views: Path) -> None:
    made = two_input_model()
    prepared = prepared_set.load(three_views, "upright")
    larger = [replace(crop, width=3 * crop.width) for crop in prepared.crops]
    prepared = replace(prepared, crops=larger)  # 36 pixels, which the service judges
    train = predict(made, prepared, "train", 10)
    assert np.flatnonzero(train.sure == 0).tolist() == [0]  # the only one without a face
    assert evaluate(made, prepared, "train", 10).overall.coverage == pytest.approx(39 / 40)
    with torch.no_grad():
        made.classifier.nobody[:] = torch.tensor([0.0, 0.0, 9.0])
    nobody = evaluate(made, prepared, "train", 10).overall
    assert (nobody.coverage, nobody.accepted_accuracy) == (0, None)


@pytest.mark.parametrize("view", ["surroundings", "upright"])
def test_a_view_that_was_not_cut_out_is_named_with_the_command_that_makes_it(
    three_views: Path, view: str
) -> None:
    (three_views / f"{view}.npy").unlink()
    with pytest.raises(GdwatchError) as refused:
        evaluate(two_input_model(), prepared_set.load(three_views), "test", 10)
    assert str(refused.value) == (
        f"{three_views}: no {view}.npy in it; make it with `gdtrain crop PHOTOGRAPHS --prepared "
        f"{three_views} --locator fast --upright --surroundings`"
    )
