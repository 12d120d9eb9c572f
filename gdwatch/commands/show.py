"""`gdwatch show`: where a file went, and why."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Any

from gdwatch.commands.output import print_json
from gdwatch.files import escaping
from gdwatch.ledger import queries
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.opening import open_to_read
from gdwatch.ledger.rows import Row
from gdwatch.settings import Settings


def show(settings: Settings, which: str, *, json_: bool) -> None:
    """Print a file's row, results and corrections. which: an id or a path. Raises GdwatchError."""
    with closing(open_to_read(settings)) as ledger, ledger.reading() as connection:
        row = queries.find(ledger, connection, which)
        results = [dict(result) for result in queries.all_results(connection, row.id)]
        corrections = [dict(each) for each in queries.all_corrections(connection, row.id)]
    answer = {**_plain(ledger, row), "results": results, "corrections": corrections}
    if json_:
        print_json(answer)
        return
    for name, value in answer.items():
        if not isinstance(value, list) and value is not None:
            print(f"{name:<12} {value}")
    for result in results:
        print(f"{'result':<12} {_result(result)}")
    for each in corrections:
        word = each["label"] or "taken back"
        print(f"{'correction':<12} {word}, by {each['by']}, {each['at']}")


def _plain(ledger: Ledger, row: Row) -> dict[str, Any]:
    values = asdict(row)
    for name in ("path", "source", "original"):
        if values[name] is not None:
            values[name] = escaping.relative_text(values[name], ledger.root)
    return values


def _result(result: Mapping[str, Any]) -> str:
    p_male = "" if result["p_male"] is None else f", p(male) {result['p_male']:.4f}"
    reason = f" ({result['reason']})" if result["reason"] else ""
    model = f"{result['model']} {result['version']}"
    return f"{result['outcome']}{reason}{p_male}, by {model}, {result['rules']}"
