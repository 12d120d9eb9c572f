"""A child of the tests: serves as the engine does, and sees crowds on every photograph."""

from collections.abc import Sequence

from gdwatch.decode.reduce import Pixels, Reduction
from gdwatch.inference.faces import MOST_FACES
from gdwatch.inference.predictor import Finish, Result
from gdwatch.processes import engine, parent
from gdwatch.processes.slots import Slots
from gdwatch.values import Box, Face, Scores

LONGEST = -1.2345678901234567e-300  # no number takes more characters
CROWD = Scores(
    LONGEST, 10**9, (Face(Box(1e300 / 3, 1e300 / 7, 1e300 / 9, 1e300 / 11), LONGEST,
                          LONGEST, 1e300 / 13, LONGEST),) * MOST_FACES, LONGEST, 10**9,
)  # fmt: skip


class Crowded:
    """A predictor that gives the longest answers that there can be."""

    depth = 1

    def begin(self, photos: Sequence[Pixels]) -> Finish:
        return lambda: Result([CROWD] * len(photos), [[] for _ in photos], 0)


def main() -> None:
    channel, start, (memory,) = parent.connect()
    slots = Slots(start["slots"], Reduction(**start["layout"]), memory)
    engine.serve(channel, slots, Crowded())


if __name__ == "__main__":
    main()
