"""The page as a child process of the service: it ends with the service, never the other way round.

It tells its parent where it listens, or why it cannot.
"""

from gdwatch import log
from gdwatch.errors import GdwatchError
from gdwatch.files import standard_error
from gdwatch.processes import parent
from gdwatch.settings import Settings


def main() -> None:
    """Serve the page until the parent ends, or say why not."""
    standard_error.keep()
    channel, start, _ = parent.connect()
    settings = Settings(**start["settings"])
    log.set_up(settings.log_level, settings.log_format)
    try:
        from gdwatch.ui import server

        with server.serving(settings) as (uvicorn, listening):
            parent.send(channel, {"address": server.address_of(listening)})
            uvicorn.run(sockets=[listening])
    except ModuleNotFoundError as error:
        failed = (f"ui: {error.name} is not installed", "pip install 'gdwatch[ui]'")
    except GdwatchError as error:
        failed = (error.message, error.hint)
    else:
        return
    parent.send(channel, {"failed": failed[0], "hint": failed[1]})


if __name__ == "__main__":
    main()
