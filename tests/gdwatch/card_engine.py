"""The engine as it is on a card, with the CPU as the card."""

from gdwatch import engine
from gdwatch.card import Card
from gdwatch.engine import Engine
from gdwatch.trial import on_card

_serve = engine.serve


def serve(channel, slots, judge: Engine) -> None:
    found = on_card(judge, slots.photos, 0.02)
    assert isinstance(found, Card)
    _serve(channel, slots, found)


if __name__ == "__main__":
    engine.serve = serve
    engine.main()
