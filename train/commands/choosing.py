"""The command that chooses photographs for a person to judge."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from train.commands.options import Debug, Json


def choose(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="A root of gdwatch.")],
    *,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many to choose.")] = 200,
    model: Annotated[
        Path, typer.Option(metavar="FILE", help="Model that is to learn: fast, or made of it.")
    ] = Path("fast"),
    among: Annotated[
        int, typer.Option(min=1, help="Look at so many at most, the least sure ones.")
    ] = 5000,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the photographs whose labels would teach most; `gdwatch ui` shows them first."""
    from gdwatch.errors import GdwatchError
    from gdwatch.root import review_list
    from gdwatch.root.folders import Folders
    from gdwatch.settings import load
    from train.choosing import candidates, most_teaching
    from train.fitting.named_model import open_model

    settings = load({"root": str(root)}, None).settings
    loaded = open_model(model)
    found = candidates.candidates(settings, among)
    if not found:
        raise GdwatchError(
            f"{root}: no photograph with a face waits for a verdict", "let gdwatch judge some first"
        )
    seen = candidates.look(loaded, settings, found)
    chosen = most_teaching.choose(seen.p_male, seen.embedded, count)
    listed = [seen.candidates[number] for number in chosen.tolist()]
    state = Folders.of(settings).state
    try:
        review_list.write(state, [each.id for each in listed])
    except OSError as error:
        raise GdwatchError(
            f"{state}: {error.strerror}", "run it as the user of the service"
        ) from error
    if as_json:
        print(json.dumps([asdict(each) for each in listed], indent=2, ensure_ascii=False))
        return
    for each in listed:
        print(f"{each.id} {each.confidence:.3f} {each.path}")
