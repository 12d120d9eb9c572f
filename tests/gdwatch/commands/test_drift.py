import json
import re

import pytest

from gdwatch.commands import drift as verb
from gdwatch.commands import status
from gdwatch.errors import ActionNeeded
from tests.gdwatch.conftest import World
from tests.gdwatch.history import Judged, fill

Out = pytest.CaptureFixture[str]
ALIKE = [Judged(0.5 + number / 400, faces=1) for number in range(200)]
LESS_SURE = [Judged(0.5 + number / 800, faces=1) for number in range(200)]


@pytest.fixture
def served(world: World) -> World:
    """The same world with the mark of a root."""
    (world.root / ".gdwatch/root-id").write_text("a-root\n")
    return world


def test_weeks_that_differ_are_told_with_the_test(served: World, capsys: Out) -> None:
    fill(served.root, 10, ALIKE)
    fill(served.root, 2, LESS_SURE)
    verb.drift(served.settings, 7, 28, json_=False)
    told = capsys.readouterr().out
    assert told.startswith("28 days before: 200 photographs\nlast 7 days: 200 photographs\n\n")
    medians = r"confidence: DIFFERS\n  before  median 0\.7\d+\n  lately  median 0\.62\d\n"
    assert re.search(medians, told)
    assert "Kolmogorov-Smirnov: D 0.50, p " in told
    assert "unsure: DIFFERS" in told
    assert "faces a photograph: too few to tell" in told
    verb.drift(served.settings, 7, 28, json_=True)
    answer = json.loads(capsys.readouterr().out)
    matters = {each["name"]: each["matters"] for each in answer["differences"]}
    assert matters == {"confidence": True, "unsure": True, "faces": False, "against": False}


def test_a_change_of_model_is_said(served: World, capsys: Out) -> None:
    fill(served.root, 10, ALIKE)
    fill(served.root, 2, [Judged(each.confidence, model="mine") for each in ALIKE])
    verb.drift(served.settings, 7, 28, json_=False)
    assert "models differ: fast 1 before, mine 1 lately" in capsys.readouterr().out


def test_too_few_photographs_are_said(served: World, capsys: Out) -> None:
    fill(served.root, 2, ALIKE)
    verb.drift(served.settings, 7, 28, json_=False)
    assert capsys.readouterr().out.endswith("too few to tell: 100 of each are needed\n")
    assert verb.differing(served.settings) is None


def test_the_status_has_a_line_where_something_differs(served: World, capsys: Out) -> None:
    fill(served.root, 10, ALIKE)
    fill(served.root, 2, ALIKE)
    status.status(served.settings, watch=False, json_=False)
    assert "drift" not in capsys.readouterr().out
    fill(served.root, 2, LESS_SURE * 2)
    status.status(served.settings, watch=False, json_=False)
    told = capsys.readouterr().out
    line = "drift     confidence, unsure: not as in the weeks before, see `gdwatch drift`\n"
    assert line in told
    status.status(served.settings, watch=False, json_=True)
    assert json.loads(capsys.readouterr().out)["drift"] == ["confidence", "unsure"]


def test_without_scipy_the_command_says_so_and_the_status_goes_on(
    served: World, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(verb, "find_spec", lambda name: None)
    with pytest.raises(ActionNeeded, match=r"drift needs scipy; install it with .*\[drift\]"):
        verb.drift(served.settings, 7, 28, json_=False)
    status.status(served.settings, watch=False, json_=True)
    assert json.loads(capsys.readouterr().out)["drift"] is None
