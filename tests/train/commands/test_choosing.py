import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from gdwatch.root import review_list
from gdwatch.ui import photographs
from gdwatch.ui.photographs import Queue
from tests import build
from tests.gdwatch.conftest import World, world_at
from tests.gdwatch.history import Judged, fill
from tests.train.build import Told


@pytest.fixture
def world(root: Path) -> World:
    """Five photographs of one face, of which the fifth has a verdict."""
    with ExitStack() as stack:
        world = stack.enter_context(world_at(root))
        (root / ".gdwatch/root-id").write_text("a-root\n")
        fill(root, 1, [Judged(0.6), Judged(0.7), Judged(0.8), Judged(0.85)])
        fill(root, 1, [Judged(0.55, said="male")])
        for number in range(1, 6):
            (root / f"unsure/{number}").write_bytes(build.grace_hopper())
        with world.ledger.writing() as transaction:
            transaction.connection.exec_driver_sql(
                "UPDATE results SET box_x = 180 - 5 * file_id, box_y = 90, box_w = 160, "
                "box_h = 200, width = 512, height = 600"
            )
        yield world


def test_what_is_chosen_is_listed_and_comes_first_in_the_review(
    world: World, gdtrain: Callable[..., Told]
) -> None:
    told = gdtrain("choose", world.root, "-n", "3")
    assert told.status == 0, told.err
    ids = [int(line.split()[0]) for line in told.out.splitlines()]
    assert len(set(ids)) == 3
    assert set(ids) < {1, 2, 3, 4}
    listed = review_list.read(world.folders.state)
    assert list(listed) == ids
    queue = Queue(order="teach", listed=listed)
    with world.ledger.reading() as connection:
        found, _ = photographs.page(connection, world.ledger.root_id, queue, None, 9)
    assert [each.id for each in found] == ids
    again = json.loads(gdtrain("choose", world.root, "-n", "3", "--json").out)
    assert [each["id"] for each in again] == ids


def test_a_root_without_photographs_to_judge_is_one_line(
    world: World, gdtrain: Callable[..., Told]
) -> None:
    with world.ledger.writing() as transaction:
        transaction.connection.exec_driver_sql("UPDATE results SET box_w = NULL")
    told = gdtrain("choose", world.root)
    line = f"gdtrain: {world.root}: no photograph with a face waits for a verdict; "
    assert told == Told(1, "", line + "let gdwatch judge some first\n")
