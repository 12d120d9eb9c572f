"""What goes over the wire between the service and its children, written and read in one place.

Packets are JSON, small, and may carry file descriptors; nothing from a child is ever unpickled.
What a worker says is checked field by field: a picture may have taken it over.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any, get_args

from gdwatch.inference.faces import MOST_FACES
from gdwatch.values import Box, Face, Header, Photo, Refusal, RejectedReason, Scores

# No packet is longer: the kernel bounds what a socket holds (net.core.wmem_max). An answer that may
# be longer goes in several packets, see `answers_of`.
PACKET_BYTES = 128 * 1024
MOST_DESCRIPTORS = 16  # in one packet
Packet = Mapping[str, Any]

_SHA256 = re.compile("[0-9a-f]{64}")
_UNREAD = "unreadable"  # the reason without a hash
_MOST_PIXELS = 1 << 32  # of a side, as formats can say it
# Scores in one packet, if every number is as long as one can be: -1.2345678901234567e-300, and what
# parts it from the next. A face is seven of them in brackets; a photograph is two, and its faces.
_NUMBER_BYTES = 24 + 2
_FACE_BYTES = 7 * _NUMBER_BYTES + 4
_SCORES_BYTES = MOST_FACES * _FACE_BYTES + 2 * _NUMBER_BYTES + 8
_MOST_SCORES = PACKET_BYTES // _SCORES_BYTES - 1  # the last has the place of all that is no score


class Died(Exception):  # noqa: N818 - what happened to the child, not a failure of ours
    """The child is no more, does not listen, or talks nonsense."""


def encoded(packet: Packet) -> bytes:
    """As it is sent. Raises ValueError for what the other end would get only a part of."""
    content = json.dumps(packet).encode()
    if len(content) > PACKET_BYTES:
        raise ValueError(f"{len(content)} bytes are longer than a packet may be")
    return content


def answer_of(slot: int, decoded: Photo | Refusal) -> Packet:
    """What a worker says of the file in a slot; `read_answer` reads it."""
    return {"slot": slot, type(decoded).__name__: _fields(decoded)}


def _fields(value: Photo | Refusal | Header) -> dict[str, Any]:
    """By name, as `asdict` gives them, in a tenth of its time."""
    given = {name: getattr(value, name) for name in value.__slots__}
    return {
        name: _fields(each) if isinstance(each, Header) else each for name, each in given.items()
    }


def read_answer(packet: Packet, longest: int) -> Photo | Refusal:
    """Read an answer. longest: the most pixels that a side of what is in the slot may have.

    Raises Died where it is none that a worker gives.
    """
    try:
        return (
            _refusal(packet["Refusal"]) if "Refusal" in packet else _photo(packet["Photo"], longest)
        )
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise Died from error


def _photo(answer: Packet, longest: int) -> Photo | Refusal:
    width, height = (_whole(number) for number in answer["size"])
    sha256 = _hash(answer["sha256"])
    if not 0 < min(width, height) <= max(width, height) <= longest:
        return Refusal("decoder_crashed", f"left {width}x{height} pixels", sha256)
    return Photo(sha256, _header(answer["header"]), (width, height), _ms(answer["decode_ms"]))


def _refusal(answer: Packet) -> Refusal:
    reason = answer["reason"]
    if reason not in get_args(RejectedReason):
        raise ValueError(reason)
    has_hash = answer["sha256"] is not None or reason != _UNREAD
    return Refusal(
        reason,
        _text(answer["detail"]),
        _hash(answer["sha256"]) if has_hash else None,
        _header(answer["header"]) if answer["header"] else None,
        _ms(answer["decode_ms"]),
    )


def _header(given: Packet) -> Header:
    width, height = _whole(given["width"]), _whole(given["height"])
    if not 0 <= min(width, height) <= max(width, height) <= _MOST_PIXELS:
        raise ValueError(f"{width}x{height}")
    return Header(width, height, _text(given["format"]))


def _whole(given: Any) -> int:
    if type(given) is not int:
        raise TypeError(given)
    return given


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(given)
    given.encode()  # half a surrogate pair can neither be written nor stored
    return given


def _hash(given: Any) -> str:
    if not _SHA256.fullmatch(given):
        raise ValueError(given)
    return str(given)


def _ms(given: Any) -> float:
    took = float(given)
    if not (math.isfinite(took) and took >= 0):
        raise ValueError(given)
    return took


def answers_of(scores: Sequence[Scores], infer_ms: float, splits: int) -> Iterator[Packet]:
    """What an engine says of a batch, in as many packets as it takes; `infer_ms` is in the last."""
    whole = [_packed(each) for each in scores]
    while len(whole) > _MOST_SCORES:
        yield {"scores": whole[:_MOST_SCORES]}
        whole = whole[_MOST_SCORES:]
    yield {"scores": whole, "infer_ms": infer_ms, "splits": splits}


def _packed(scores: Scores) -> list[Any]:
    """Scores as a packet carries them: short, since thousands of faces are on their way."""
    faces = []
    for face in scores.faces:
        box = [round(number, 1) for number in astuple(face.box)]
        faces.append([*box, round(face.score, 4), face.p_male, round(face.sharpness, 1)])
    return [scores.p_male, scores.count, faces]


def unpacked(packed: Sequence[Any]) -> Scores:
    """Scores from a packet."""
    p_male, count, faces = packed
    return Scores(p_male, count, tuple(Face(Box(*face[:4]), *face[4:]) for face in faces))
