"""`gdwatch drift`: whether the last days' photographs are like those of the weeks before."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

from gdwatch.commands.output import print_json
from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.jobs.drift import Difference, compare
from gdwatch.ledger import windows
from gdwatch.ledger.opening import open_to_read
from gdwatch.ledger.transaction import now
from gdwatch.ledger.windows import FEWEST, Windows
from gdwatch.root import root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

BEFORE_DAYS, LAST_DAYS = 28, 7
_MEANING = {
    "confidence": "confidence",
    "unsure": "unsure",
    "faces": "faces a photograph",
    "against": "verdicts against the model",
}


def drift(settings: Settings, days: int, before: int, *, json_: bool) -> None:
    """Print what differs. days, before: how long both spans are. Raises GdwatchError."""
    _require_scipy()
    found = _count(settings, before, days)
    differences = compare(found)
    if json_:
        print_json(_answer(found, differences, (before, days)))
    else:
        print(*_lines(found, differences, (before, days)), sep="\n")


def differing(settings: Settings) -> list[str] | None:
    """The names of what differs, for the status; None where that cannot be told."""
    if find_spec("scipy") is None:
        return None
    try:
        found = _count(settings, BEFORE_DAYS, LAST_DAYS)
    except GdwatchError:
        return None
    if not found.suffice:
        return None
    return [each.name for each in compare(found) if each.matters]


def _require_scipy() -> None:
    if find_spec("scipy") is None:
        raise ActionNeeded("drift needs scipy", "install it with `pip install 'gdwatch[drift]'`")


def _count(settings: Settings, before: int, days: int) -> Windows:
    uuid = root_id.read_id(Folders.of(settings))
    spans = (timedelta(days=before), timedelta(days=days))
    with closing(open_to_read(settings, uuid)) as ledger, ledger.reading() as connection:
        return windows.last(connection, ledger.root_id, now(), spans)


def _answer(
    found: Windows, differences: tuple[Difference, ...], days: tuple[int, int]
) -> dict[str, Any]:
    spans = zip(("before", "lately"), days, (found.before, found.lately), strict=True)
    return {
        **{
            name: {"days": length, "photographs": each.photographs, "models": each.models}
            for name, length, each in spans
        },
        "suffice": found.suffice,
        "differences": [asdict(each) | {"matters": each.matters} for each in differences],
    }


def _lines(
    found: Windows, differences: tuple[Difference, ...], days: tuple[int, int]
) -> Iterator[str]:
    before, lately = found.before, found.lately
    yield f"{days[0]} days before: {before.photographs} photographs"
    yield f"last {days[1]} days: {lately.photographs} photographs"
    if not found.suffice:
        yield f"too few to tell: {FEWEST} of each are needed"
        return
    if before.models != lately.models:
        both = f"{', '.join(before.models)} before, {', '.join(lately.models)} lately"
        yield f"models differ: {both}; what follows may be theirs"
    for each in differences:
        yield ""
        yield f"{_MEANING[each.name]}: {'DIFFERS' if each.matters else _why_not(each)}"
        yield f"  before  {each.before}"
        yield f"  lately  {each.lately}"
        if each.test is not None:
            letter = "D" if each.name == "confidence" else "V"
            yield f"  {each.test}: {letter} {each.effect:.2f}, p {each.p_value:.1g}"


def _why_not(difference: Difference) -> str:
    return "too few to tell" if difference.test is None else "as before"
