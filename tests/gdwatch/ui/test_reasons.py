"""Every reason has its sentence for a person who has read no manual."""

from typing import get_args

from gdwatch.ui import reasons
from gdwatch.values import REASONS, RejectedReason


def test_every_reason_has_a_sentence() -> None:
    assert reasons.SENTENCES.keys() == {*REASONS, "unreadable"}
    assert all(each.endswith(".") for each in reasons.SENTENCES.values())
    assert reasons.sentence_of(None) == ""


def test_every_rejection_comes_with_advice() -> None:
    assert reasons.ADVICE.keys() == {*get_args(RejectedReason), "by_hand"}
