import pytest

from gdwatch.errors import GdwatchError
from train.commands.stopping import resumable


def test_ctrl_c_says_how_to_go_on() -> None:
    with pytest.raises(GdwatchError) as told, resumable():
        raise KeyboardInterrupt
    assert str(told.value) == "stopped; the same command goes on"
