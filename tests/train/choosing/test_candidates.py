from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gdwatch.errors import UsageError
from gdwatch.values import Box
from tests import build
from tests.gdwatch.conftest import World, world_at
from tests.gdwatch.history import Judged, fill
from train.choosing import candidates
from train.choosing.candidates import Candidate
from train.fitting.named_model import open_model


@pytest.fixture
def world(root: Path) -> Iterator[World]:
    with world_at(root) as world:
        (root / ".gdwatch/root-id").write_text("a-root\n")
        yield world


def test_the_least_sure_with_a_face_and_no_verdict_are_asked(world: World) -> None:
    fill(world.root, 1, [Judged(0.7), Judged(0.6, said="male"), Judged(0.55), Judged(0.99)])
    ids = [1, 2, 3, 4]
    with world.ledger.writing() as transaction:
        transaction.connection.exec_driver_sql(
            "UPDATE results SET box_x = 1, box_y = 2, box_w = 3, box_h = 4, width = 20, height = 10"
            " WHERE file_id <> 4"
        )
    found = candidates.candidates(world.settings, 9)
    assert [each.id for each in found] == [ids[2], ids[0]]
    assert found[0].box == Box(1, 2, 3, 4)
    assert [each.id for each in candidates.candidates(world.settings, 1)] == [ids[2]]


def test_a_face_is_judged_in_crops_that_differ_a_little(world: World) -> None:
    path = world.root / "unsure/a.png"
    path.write_bytes(build.grace_hopper())
    known = Candidate(1, "unsure/a.png", "unsure", 0.6, Box(180, 90, 160, 200), (512, 600))
    gone = Candidate(2, "unsure/gone.png", "unsure", 0.6, Box(1, 1, 9, 9), (20, 20))
    seen = candidates.look(open_model(Path("fast")), world.settings, [gone, known])
    assert [each.id for each in seen.candidates] == [1]
    assert seen.p_male.shape == (4, 1)
    assert len(np.unique(seen.p_male)) == 4
    assert seen.embedded.shape == (1, 256)


def test_a_model_that_sees_no_faces_alone_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match="model whole: does not see faces alone; name fast"):
        candidates.look(open_model(Path("whole")), world.settings, [])
