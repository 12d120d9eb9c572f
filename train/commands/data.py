"""The commands that make a prepared folder and look for what is wrong in it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from train.commands.options import Debug, PreparedFolder


def prepare(
    data: Annotated[
        list[Path],
        typer.Argument(help="A manifest.csv, a tar, or a folder with one, or with female/ male/."),
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    source: Annotated[
        list[str] | None, typer.Option(help="Only pictures of this source; may be repeated.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Decode labelled pictures once, as the service does, and split them."""
    from train.data.prepare import prepare
    from train.data.sources import SPLITS

    summary = prepare(data, out, source)
    for picture in summary.unreadable:
        print(f"gdtrain: {picture.path}: {picture.reason} ({picture.detail})", file=sys.stderr)
    print(f"pictures {len(summary.rows)}")
    for split in SPLITS:
        print(f"{split} {sum(row.split == split for row in summary.rows)}")
    print(f"near-duplicates {summary.near_duplicates}")
    print(f"without a class {summary.without_class}")
    print(f"unreadable {len(summary.unreadable)}")


def audit(
    folder: PreparedFolder,
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write manifest.clean.csv, for `fit --clean`.")
    ] = False,
    min_age: Annotated[int, typer.Option(help="Doubt no label of who is younger.")] = 10,
    debug: Debug = False,
) -> None:
    """Find duplicates, swapped labels, and pictures that show nothing or no one can tell."""
    from train.audit import audit as audits
    from train.audit.page import PAGE, write
    from train.data.prepared_set import load

    prepared = load(folder)
    findings = audits.audit(prepared, min_age)
    write(prepared, findings)
    for trouble, count in audits.counts(findings).items():
        print(f"{trouble} {count}")
    print(f"{folder / audits.AUDIT}")
    print(f"{folder / PAGE}")
    if apply:
        print(f"excluded {audits.apply(prepared, findings)} of {len(prepared.rows)}")
