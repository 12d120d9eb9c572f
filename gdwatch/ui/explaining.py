"""The child process that explains one photograph, as `gdwatch classify --explain` does.

It is judged again by the model of the settings; its file is decoded in a worker of this process.
"""

from contextlib import closing
from pathlib import Path

from gdwatch.errors import GdwatchError
from gdwatch.files import standard_error
from gdwatch.jobs.classify import answers
from gdwatch.processes import parent
from gdwatch.settings import Settings


def main() -> None:
    """Write a panel into the parent's folder and send its path, or why there is none."""
    standard_error.keep()
    channel, start, (photograph,) = parent.connect()
    settings = Settings(**start["settings"]).model_copy(update={"workers": 1, "device": "cpu"})
    complaints: list[str] = []

    def complain(_: bytes, why: str) -> None:
        complaints.append(why)

    try:
        from gdwatch.jobs.explain import Explainer

        with closing(Explainer(settings, Path(start["folder"]), complain)) as explainer:
            given = iter([b"/proc/self/fd/%d" % photograph])
            (answer,) = answers(settings, given, complain, explainer.panel)
    except ModuleNotFoundError as error:
        why = f"{error.name} is not installed; pip install 'gdwatch[explain]'"
    except GdwatchError as error:
        why = str(error)
    else:
        panels = [str(path) for path in Path(start["folder"]).iterdir()]
        if panels:
            parent.send(channel, {"panel": panels[0]})
            return
        why = complaints[0] if complaints else f"the picture is {answer['reason']}"
    parent.send(channel, {"failed": why})


if __name__ == "__main__":
    main()
