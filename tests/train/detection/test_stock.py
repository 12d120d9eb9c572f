from hypothesis import strategies as st

from gdwatch.values import Box
from train.data.prepared_set import Prepared
from train.data.sources import entries
from train.detection import stock
from train.detection.boxes import Face

lengths = st.floats(1, 900, width=32)


found = st.builds(
    Face,
    st.builds(Box, lengths, lengths, lengths, lengths),
    st.floats(0, 1, width=32),
    st.lists(lengths, min_size=10, max_size=10).map(tuple),
)


def test_a_stock_sorts_and_shrinks(class_folders: object, prepared: Prepared) -> None:
    data = next(prepared.folder.parent.glob("*/female")).parent
    listed = entries([data])
    near = {listed[0].path: [Face(Box(1, 1, 80, 90), 0.9, ())]}
    made_of = stock.load(listed[:3], near, {}, 5, 288)
    assert len(made_of.close) + len(made_of.wide) == 1  # without a face it is of no use
    seen = stock.read(listed[0], near[listed[0].path], 288)
    assert seen is not None
    assert max(seen.image.size) <= 288


def test_a_stock_leaves_out_what_cannot_be_read(prepared: Prepared) -> None:
    data = next(prepared.folder.parent.glob("*/female")).parent
    listed = entries([data])[:3]
    found = {entry.path: [Face(Box(1, 1, 19, 20), 0.9, ())] for entry in listed}
    (data / listed[0].path).write_bytes(b"RIFF, and no more of it")
    (data / listed[1].path).unlink()
    assert len(stock.load(listed, found, {}, 5, 288).close) == 1
