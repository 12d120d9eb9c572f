"""How long the thirty questions of docs/sql.md take on a large SQLite ledger.

    python -m tests.bench.questions FILE [--rounds 5]

FILE is made by `tests.bench.large_ledger`; its last week stands for the week that the page names,
its own photographs and model for those of the page's small ledger.
"""

import argparse
import re
import sqlite3
import statistics
import time
from datetime import date, timedelta
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
_WEEK = (date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 27))
_THERE = {
    "'anna.jpg'": "'IMG_1.jpg'",
    "file_id = 3 ": "file_id = 1003 ",
    "file_id = 6 ": "file_id = 1006 ",
    "version = '0.2.0'": "version = '0.4.0'",
}


def questions() -> list[tuple[str, str, str]]:
    """Return each question of the page: in words, in SQL, and the answer that the page gives."""
    pattern = r"^\d+\. (.*?)\n\n```sql\n(.*?)```\n\n```text\n(.*?)```"
    return re.findall(pattern, _PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def of_large(question: str, ledger: sqlite3.Connection) -> str:
    """Return a question as it is asked of a large ledger: of its last week, and of what it has."""
    (newest,) = ledger.execute("SELECT max(recorded_at) FROM files").fetchone()
    later = date.fromisoformat(newest[:10]) + timedelta(days=1) - _WEEK[-1]
    for day in _WEEK:
        question = question.replace(f"'{day}'", f"'{day + later}'")
    for small, large in _THERE.items():
        question = question.replace(small, large)
    return question


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.questions")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    ledger = sqlite3.connect(f"file:{given.file}?mode=ro", uri=True)
    longest_ms = 0.0
    for number, (words, sql, _) in enumerate(questions(), 1):
        asked, took_ms = of_large(sql, ledger), []
        for _ in range(given.rounds):
            began = time.perf_counter()
            rows = ledger.execute(asked).fetchall()
            took_ms.append((time.perf_counter() - began) * 1000)
        middle_ms = statistics.median(took_ms)
        longest_ms = max(longest_ms, middle_ms)
        print(f"{number:2} {middle_ms:7.1f} ms {len(rows):6} rows  {words}")
    (rows,) = ledger.execute("SELECT count(*) FROM files").fetchone()
    print(f"{rows} files; the slowest question takes {longest_ms:.0f} ms (medians)")


if __name__ == "__main__":
    main()
