import json
from pathlib import Path

import pytest
from hypothesis import strategies as st

from gdwatch.errors import GdwatchError
from gdwatch.values import Box
from tests.train.build import TINY_LOCATOR, faces_of
from train.data import prepared_set
from train.data.prepared_set import Prepared
from train.data.sources import entries
from train.detection import train_locator
from train.detection.boxes import Face

lengths = st.floats(1, 900, width=32)


found = st.builds(
    Face,
    st.builds(Box, lengths, lengths, lengths, lengths),
    st.floats(0, 1, width=32),
    st.lists(lengths, min_size=10, max_size=10).map(tuple),
)


def test_a_stopped_locator_goes_on_as_if_it_had_not_stopped(
    prepared: Prepared, tmp_path: Path
) -> None:
    data = next(tmp_path.glob("*/female")).parent
    listed, known = entries([data]), prepared_set.splits(prepared.folder)
    found = faces_of(data)
    whole = list(
        train_locator.fit(listed, known, found, TINY_LOCATOR, tmp_path / "whole", workers=0)
    )
    begun = train_locator.fit(listed, known, found, TINY_LOCATOR, tmp_path / "again", workers=0)
    next(begun)
    begun.close()
    rest = list(
        train_locator.fit(listed, known, found, TINY_LOCATOR, tmp_path / "again", workers=0)
    )
    assert [epoch for epoch, *_ in rest] == [2]
    assert rest[-1][1] == pytest.approx(whole[-1][1], rel=1e-4)
    assert json.loads((tmp_path / "whole" / "locator.json").read_text())[0]["threshold"] == 0.3
    other = TINY_LOCATOR.model_copy(update={"lr": 0.02})
    with pytest.raises(GdwatchError, match="made with another recipe"):
        next(train_locator.fit(listed, known, found, other, tmp_path / "again", workers=0))
