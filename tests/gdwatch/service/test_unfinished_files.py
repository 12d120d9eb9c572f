import pytest

from gdwatch.service.unfinished_files import may_be_unfinished

HOUR_S = 3600


@pytest.mark.parametrize("reason", ["empty", "not_an_image", "truncated", "damaged"])
def test_what_may_be_the_beginning_of_a_picture_waits_for_its_writer_an_hour(reason: str) -> None:
    assert may_be_unfinished(reason, HOUR_S - 1)
    assert not may_be_unfinished(reason, HOUR_S)


@pytest.mark.parametrize("reason", ["unsupported_format", "too_many_pixels", "no_face", None])
def test_what_no_writer_can_complete_waits_for_none(reason: str | None) -> None:
    assert not may_be_unfinished(reason, 0)
