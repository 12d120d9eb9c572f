import json
import math
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdwatch.processes.messages import Died, answer_of, read_answer
from gdwatch.values import Header, Photo, Refusal

LONGEST = 1220
HASH = "0123456789abcdef" * 4
PHOTO = Photo(HASH, Header(4000, 3000, "JPEG"), (1000, 750), 12.5)
REFUSAL = Refusal("truncated", "ends early", HASH, Header(4000, 3000, "JPEG"), 3.0)
UNREADABLE = Refusal("unreadable", "Input/output error")


def packet(answer: Photo | Refusal) -> dict[str, Any]:
    """As it arrives from a worker."""
    found: dict[str, Any] = json.loads(json.dumps(answer_of(3, answer)))
    return found


@pytest.mark.parametrize("answer", [PHOTO, REFUSAL, UNREADABLE])
def test_what_a_worker_says_arrives(answer: Photo | Refusal) -> None:
    assert read_answer(packet(answer), LONGEST) == answer
    assert packet(answer)[type(answer).__name__] == json.loads(json.dumps(asdict(answer)))


LIES: list[tuple[Photo | Refusal, dict[str, Any]]] = [
    (PHOTO, {"sha256": [1]}),
    (PHOTO, {"sha256": None}),
    (PHOTO, {"sha256": HASH[1:]}),
    (PHOTO, {"sha256": HASH.upper()}),
    (PHOTO, {"decode_ms": math.nan}),
    (PHOTO, {"decode_ms": math.inf}),
    (PHOTO, {"decode_ms": -1}),
    (PHOTO, {"decode_ms": 10**400}),
    (PHOTO, {"size": [10.5, 3]}),
    (PHOTO, {"size": [10]}),
    (PHOTO, {"size": "ab"}),
    (PHOTO, {"header": None}),
    (PHOTO, {"header": {"width": "wide", "height": 3, "format": "JPEG"}}),
    (PHOTO, {"header": {"width": 10**30, "height": 3, "format": "JPEG"}}),
    (PHOTO, {"header": {"width": 3, "height": -3, "format": "JPEG"}}),
    (PHOTO, {"header": {"width": 3, "height": 3, "format": 7}}),
    (PHOTO, {"header": {"width": 3, "height": 3, "format": "\ud800"}}),
    (REFUSAL, {"sha256": None}),  # only what cannot be read has no hash
    (REFUSAL, {"reason": "male"}),
    (REFUSAL, {"reason": ["truncated"]}),
    (REFUSAL, {"detail": {"a": "text"}}),
    (REFUSAL, {"detail": "\udfff"}),
    (UNREADABLE, {"sha256": 7}),
]


@pytest.mark.parametrize(("answer", "lie"), LIES)
def test_a_lie_about_a_field_is_no_answer(answer: Photo | Refusal, lie: dict[str, Any]) -> None:
    given = packet(answer)
    given[type(answer).__name__].update(lie)
    with pytest.raises(Died):
        read_answer(given, LONGEST)


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (LONGEST + 1, 5), (10**30, 10**30)])
def test_pixels_that_have_no_place_are_a_crash(size: tuple[int, int]) -> None:
    given = packet(PHOTO)
    given["Photo"]["size"] = size
    found = read_answer(given, LONGEST)
    assert isinstance(found, Refusal)
    assert (found.reason, found.sha256) == ("decoder_crashed", HASH)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    ["sha256", "header", "size", "decode_ms", "reason", "detail", "width", "height", "format"]
)


@given(st.sampled_from([PHOTO, REFUSAL, UNREADABLE]), FIELDS, JSON)
def test_whatever_a_field_says_the_answer_can_be_written_down(
    answer: Photo | Refusal, name: str, value: Any
) -> None:
    given_ = packet(answer)
    fields = given_[type(answer).__name__]
    of = fields["header"] if name in ("width", "height", "format") else fields
    if of is None:
        return
    of[name] = value
    try:
        found = read_answer(given_, LONGEST)
    except Died:
        return
    json.dumps(asdict(found), allow_nan=False, ensure_ascii=False).encode()
    assert found.sha256 is None or len(found.sha256) == 64
    if isinstance(found, Photo):
        assert 0 < min(found.size) <= max(found.size) <= LONGEST


def test_what_is_no_answer_at_all_is_none() -> None:
    for given_ in ({}, {"Photo": 7}, {"Refusal": []}, {"Photo": {}}):
        with pytest.raises(Died):
            read_answer(given_, LONGEST)
