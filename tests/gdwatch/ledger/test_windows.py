from datetime import timedelta

from gdwatch.ledger import windows
from gdwatch.ledger.transaction import now
from gdwatch.ledger.windows import Window, Windows
from tests.gdwatch.conftest import World
from tests.gdwatch.history import Judged, fill

SPANS = timedelta(days=28), timedelta(days=7)


def last(world: World) -> Windows:
    with world.ledger.reading() as connection:
        return windows.last(connection, world.ledger.root_id, now(), SPANS)


def test_each_span_counts_what_was_decided_in_it(world: World) -> None:
    fill(world.root, 1, [Judged(0.95), Judged(0.95, faces=0), Judged(0.6, faces=7)])
    fill(world.root, 8, [Judged(0.99, said="male"), Judged(0.7, said="neither", model="old")])
    fill(world.root, 40, [Judged(0.5)])
    found = last(world)
    assert found.lately == Window(
        3, 1, ((0.6, 1), (0.95, 2)), (1, 1, 0, 1), verdicts=0, against=0, models=("fast 1",)
    )
    assert found.before == Window(
        2, 1, ((0.7, 1), (0.99, 1)), (0, 2, 0, 0), verdicts=2, against=1, models=("fast 1", "old 1")
    )
    assert not found.suffice


def test_what_no_model_has_judged_and_what_was_taken_back_do_not_count(world: World) -> None:
    world.record_file("bad.jpg", outcome="rejected")
    entry = world.record_file("a.jpg", b"another")
    assert last(world).lately.photographs == 1
    with world.ledger.writing() as transaction:
        transaction.correct([entry.id], "female", "me")
    assert (last(world).lately.verdicts, last(world).lately.against) == (1, 1)
    with world.ledger.writing() as transaction:
        transaction.correct([entry.id], None, "me")
    assert last(world).lately.verdicts == 0
