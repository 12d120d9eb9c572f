#!/usr/bin/env python3
"""An example of a hook: mails what became of the photographs since the last mail.

    daily = ["/opt/gdwatch/deploy/mail_digest.py", "--to", "office@example.org"]

It reads the SQLite ledger of the root and speaks SMTP to a mail server, by default to that of this
machine: under the unit's limits `sendmail` cannot run. It needs Python alone.
"""

import argparse
import contextlib
import os
import smtplib
import socket
import sqlite3
from collections import Counter
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path, PurePath

KINDS = ("female", "male", "unsure", "rejected")


def utc(day: str) -> str:
    """Return the beginning of a day of this machine as the ledger writes times: in UTC."""
    return datetime.fromisoformat(day).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def digest(root: Path, since: str, until: str) -> tuple[str, str]:
    """Return a subject and a text. since, until: days, the second not included."""
    query = "SELECT outcome, reason, name FROM files WHERE recorded_at >= ? AND recorded_at < ?"
    ledger = f"{(root / 'results.db').as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(ledger, uri=True)) as connection:
        rows = connection.execute(query, (utc(since), utc(until))).fetchall()
    counts = Counter(outcome for outcome, _, _ in rows)
    lines = []
    for kind in KINDS:
        reasons = Counter(
            f"{reason} ({PurePath(name).suffix.lower() or 'no suffix'})"
            if kind == "rejected"
            else reason
            for outcome, reason, name in rows
            if outcome == kind and reason
        )
        why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        lines.append(f"{counts[kind]} {kind}" + (f": {why}" if why else ""))
    return f"gdwatch: {len(rows)} photographs, {counts['rejected']} rejected", "\n".join(lines)


def main() -> None:
    """Mail the digest of the days that the hook `daily` names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", action="append", required=True, metavar="ADDRESS")
    parser.add_argument("--from", dest="sender", default=f"gdwatch@{socket.getfqdn()}")
    parser.add_argument("--server", default="localhost:25", metavar="HOST:PORT")
    given = parser.parse_args()
    message = EmailMessage()
    since, until = os.environ["HOOK_SINCE"], os.environ["HOOK_UNTIL"]
    message["Subject"], text = digest(Path(os.environ["GDWATCH_ROOT"]), since, until)
    message["From"], message["To"] = given.sender, ", ".join(given.to)
    message.set_content(f"{since} to {until}\n\n{text}\n")
    host, _, port = given.server.partition(":")
    with smtplib.SMTP(host, int(port or 25), timeout=20) as server:
        server.send_message(message)


if __name__ == "__main__":
    main()
