"""The command that fits a shipped model to one's own photographs."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from train.commands.options import Debug, Json
from train.commands.stopping import resumable

if TYPE_CHECKING:
    from train.tuning.tune import Tuned


def tune(
    source: Annotated[
        Path,
        typer.Argument(
            help="female/ and male/, a manifest.csv, a tar, or a ROOT of gdwatch with corrections."
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of all that is made.")],
    start: Annotated[
        str, typer.Option(help="fast, accurate, or a model that this has made of one.")
    ] = "fast",
    clean: Annotated[
        bool, typer.Option("--clean", help="Leave out the pictures that the audit doubts.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit a shipped model to your own photographs, and tell whether it became better."""
    from train.tuning import page
    from train.tuning.tune import result, tune

    def tell(step: str) -> None:
        print(f"gdtrain: {step}", file=sys.stderr, flush=True)

    with resumable():
        tuned = tune(source, out, start, clean=clean, tell=tell)
        written = page.write(tuned, out)
    if as_json:
        print(json.dumps(result(tuned), indent=2))
        return
    _show(tuned, out)
    print(f"page {written}")


def _show(tuned: "Tuned", out: Path) -> None:
    found = ", ".join(f"{kind} {count}" for kind, count in tuned.findings.items() if count)
    print(f"pictures {len(tuned.prepared.rows)}, learnt from {tuned.learnt.own.pictures}")
    for name, count in (
        ("unreadable", tuned.unreadable),
        ("without a face", tuned.faceless),
        ("with both labels", len(tuned.usable.contradicting)),
        ("nobody can tell", tuned.labelled.neither),
        ("left out by --clean", tuned.left_out),
    ):
        if count:
            print(f"{name} {count}")
    for path in tuned.usable.contradicting:
        print(f"gdtrain: {path}: it, or a copy of it, has the other label, too", file=sys.stderr)
    if found:
        done = "left out" if tuned.left_out else "--clean leaves out what it doubts"
        print(f"audit: {found} ({done}; {out / 'prepared' / 'audit.html'})")
    other = tuned.learnt.rehearsal
    print(f"other sources {100 * other.old:.2f} % right before, {100 * other.new:.2f} % after")
    if tuned.looked_back is not None:
        back = tuned.looked_back
        print(
            f"uncorrected: {back.otherwise} of {back.looked_at} would get another answer, "
            f"{back.crossed} of them the other class"
        )
    print(tuned.verdict.sentence)
    for each in tuned.verdict.help:
        print(each)
    if tuned.file is not None:
        use = (
            f"gdwatch run --set model={tuned.file}"
            if tuned.verdict.is_recommended
            else "not recommended"
        )
        print(f"model {tuned.file} ({use})")
