from pathlib import Path

import numpy as np
from PIL import Image

from tests.train.audit.conftest import save
from tests.train.build import photograph
from train.audit import suspects
from train.audit.audit import Finding, apply
from train.audit.faceless import best_scores
from train.data import prepared_set
from train.data.prepare import prepare


def test_where_nobody_is_found_is_listed_and_stays(tmp_path: Path) -> None:
    from skimage import data

    astronaut = Image.fromarray(data.astronaut())
    save(tmp_path / "data", "female", "face.png", astronaut.crop((0, 0, 512, 300)))
    for number in range(3):
        save(tmp_path / "data", "male", f"{number}.png", photograph(f"{number}"))
    prepare([tmp_path / "data"], tmp_path / "out")
    folder = prepared_set.load(tmp_path / "out")
    scores, threshold = best_scores(folder)
    paths = [row.path for row in folder.rows]
    assert scores[paths.index("female/face.png")] > threshold
    listed = suspects.faceless(scores, threshold)
    assert {paths[suspect.row] for suspect in listed} <= {"male/0.png", "male/1.png", "male/2.png"}
    found = suspects.faceless(np.array([0.9, 0.1]), threshold)
    assert [(each.row, each.trouble, each.evidence) for each in found] == [
        (1, "no face", "the surest has a score of 0.10")
    ]
    findings = [Finding(path, "no face", 0.9, "", "") for path in paths]
    assert apply(folder, findings) == 0
