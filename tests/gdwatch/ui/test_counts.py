"""Counting: by outcome, day, confidence and verdict."""

from datetime import timedelta

from gdwatch.ledger.transaction import now
from gdwatch.ui import counts
from gdwatch.ui.counts import Counter
from tests.gdwatch.conftest import World


def test_everything_is_counted_once(world: World) -> None:
    for name, outcome in (("a", "female"), ("b", "male"), ("c", "unsure"), ("d", "rejected")):
        world.record_file(f"{name}.jpg", name.encode(), outcome)  # type: ignore[arg-type]
    world.file()
    with world.ledger.writing() as transaction:
        transaction.correct([1], "male", "ada")
        transaction.correct([1], "female", "ada")
        old = now() - timedelta(days=40)
        transaction.update(2, recorded_at=old)
    world.drop("e.jpg")
    counter = Counter(world.ledger, world.folders, world.settings)
    counted = counter.counts(patience_s=60)
    counter.close()
    assert counted is not None
    assert counted.totals == {"female": 1, "male": 1, "unsure": 1, "rejected": 1}
    assert len(counted.days) == counts.DAYS
    assert counted.days[-1] == (now().date(), {"female": 1, "unsure": 1, "rejected": 1})
    assert counted.bars[5] == 1  # 0.6
    assert counted.bars[24] == 2  # 0.98
    assert counted.steps[20] == counts.Step(unsure=1)  # 0.6
    assert counted.steps[96] == counts.Step(filed=2, right=1)  # 0.98
    assert counted.last_hour == 3
    assert (counted.right, counted.wrong) == (1, 0)
    assert (counted.corrected, counted.since_model, counted.waiting) == (1, 1, 1)
    with world.ledger.reading() as connection:
        assert counts.by_reason(connection, world.ledger.root_id, "unsure") == {"low_confidence": 1}
