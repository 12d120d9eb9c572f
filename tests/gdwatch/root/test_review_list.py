from pathlib import Path

import pytest

from gdwatch.root import review_list


def test_the_list_is_read_as_it_was_written_and_not_longer_than_a_page_asks(tmp_path: Path) -> None:
    review_list.write(tmp_path, [7, 3, 9])
    assert review_list.read(tmp_path) == (7, 3, 9)
    review_list.write(tmp_path, range(5000))
    assert review_list.read(tmp_path) == tuple(range(review_list.MOST))


@pytest.mark.parametrize("content", ["", "{", "[true]", '["1"]', "{}", "[1.5]"])
def test_a_missing_or_damaged_list_is_none(tmp_path: Path, content: str) -> None:
    assert review_list.read(tmp_path) == ()
    (tmp_path / "review.json").write_text(content)
    assert review_list.read(tmp_path) == ()
