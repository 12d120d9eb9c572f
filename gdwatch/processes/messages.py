"""The packets between the service and its child processes: encoding, decoding and validation.

Packets are small JSON, and may carry file descriptors; nothing from a child is ever unpickled.
A worker's answer is checked field by field: a hostile picture may have taken the worker over.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any, get_args

from gdwatch.inference.faces import MOST_FACES
from gdwatch.values import Box, Face, Header, Origin, Photo, Refusal, RejectedReason, Scores

# The longest packet: the kernel bounds a socket's send buffer (net.core.wmem_max). The scores of a
# batch may need several packets, see `answers_of`.
PACKET_BYTES = 128 * 1024
MOST_DESCRIPTORS = 16  # in one packet
Packet = Mapping[str, Any]

_SHA256 = re.compile("[0-9a-f]{64}")
_LONGEST_ORIGIN = 100  # characters of a time or a camera
_UNREAD = "unreadable"  # the only reason that comes without a hash
_MOST_PIXELS = 1 << 32  # of a side; image formats have 32 bits for it
# How many Scores fit into one packet if every number is as long as a float can be, as in
# -1.2345678901234567e-300, with its separator. A face is eight numbers in brackets; a photograph is
# four numbers and its faces.
_NUMBER_BYTES = 24 + 2
_FACE_BYTES = 8 * _NUMBER_BYTES + 4
_SCORES_BYTES = MOST_FACES * _FACE_BYTES + 4 * _NUMBER_BYTES + 8
_MOST_SCORES = PACKET_BYTES // _SCORES_BYTES - 1  # one less: room for the other fields


class Died(Exception):  # noqa: N818 - the child failed, not this process
    """A child has ended, does not read its packets, or sent an invalid one."""


def encoded(packet: Packet) -> bytes:
    """The packet as JSON bytes. Raises ValueError if they are longer than PACKET_BYTES."""
    content = json.dumps(packet).encode()
    if len(content) > PACKET_BYTES:
        raise ValueError(f"{len(content)} bytes are longer than a packet may be")
    return content


def answer_of(slot: int, decoded: Photo | Refusal) -> Packet:
    """A worker's packet about the file in a slot; `read_answer` parses it."""
    return {"slot": slot, type(decoded).__name__: _fields(decoded)}


def _fields(value: Photo | Refusal | Header | Origin) -> dict[str, Any]:
    """Fields by name, like `dataclasses.asdict`, in a tenth of its time."""
    given = {name: getattr(value, name) for name in value.__slots__}
    return {
        name: _fields(each) if isinstance(each, Header | Origin) else each
        for name, each in given.items()
    }


def read_answer(packet: Packet, longest: int) -> Photo | Refusal:
    """Validate and parse a worker's answer. longest: the longest side in a slot, in pixels.

    Raises Died if the answer is invalid.
    """
    try:
        return (
            _refusal(packet["Refusal"]) if "Refusal" in packet else _photo(packet["Photo"], longest)
        )
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise Died from error


def _photo(answer: Packet, longest: int) -> Photo | Refusal:
    width, height = (_integer(number) for number in answer["size"])
    sha256 = _hash(answer["sha256"])
    if not 0 < min(width, height) <= max(width, height) <= longest:
        return Refusal("decoder_crashed", f"left {width}x{height} pixels", sha256)
    return Photo(
        sha256,
        _header(answer["header"]),
        (width, height),
        _milliseconds(answer["decode_ms"]),
        _origin(answer["origin"]),
    )


def _refusal(answer: Packet) -> Refusal:
    reason = answer["reason"]
    if reason not in get_args(RejectedReason):
        raise ValueError(reason)
    has_hash = answer["sha256"] is not None or reason != _UNREAD
    return Refusal(
        reason,
        _string(answer["detail"]),
        _hash(answer["sha256"]) if has_hash else None,
        _header(answer["header"]) if answer["header"] else None,
        _milliseconds(answer["decode_ms"]),
    )


def _header(given: Packet) -> Header:
    width, height = _integer(given["width"]), _integer(given["height"])
    if not 0 <= min(width, height) <= max(width, height) <= _MOST_PIXELS:
        raise ValueError(f"{width}x{height}")
    return Header(width, height, _string(given["format"]))


def _origin(given: Packet) -> Origin:
    texts = [None if given[name] is None else _string(given[name]) for name in Origin.__slots__]
    if any(text is not None and len(text) > _LONGEST_ORIGIN for text in texts):
        raise ValueError(given)
    return Origin(*texts)


def _integer(given: Any) -> int:
    if type(given) is not int:
        raise TypeError(given)
    return given


def _string(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(given)
    given.encode()  # a lone surrogate can be neither logged nor stored
    return given


def _hash(given: Any) -> str:
    if not _SHA256.fullmatch(given):
        raise ValueError(given)
    return str(given)


def _milliseconds(given: Any) -> float:
    milliseconds = float(given)
    if not (math.isfinite(milliseconds) and milliseconds >= 0):
        raise ValueError(given)
    return milliseconds


def answers_of(scores: Sequence[Scores], infer_ms: float, splits: int) -> Iterator[Packet]:
    """The engine's packets for one batch; only the last carries `infer_ms` and `splits`."""
    packed = [_packed(each) for each in scores]
    while len(packed) > _MOST_SCORES:
        yield {"scores": packed[:_MOST_SCORES]}
        packed = packed[_MOST_SCORES:]
    yield {"scores": packed, "infer_ms": infer_ms, "splits": splits}


def _packed(scores: Scores) -> list[Any]:
    """Scores as a short list, without field names: a batch may have thousands of faces."""
    faces = []
    for face in scores.faces:
        box = [round(number, 1) for number in astuple(face.box)]
        rest = round(face.score, 4), face.p_male, round(face.sharpness, 1), face.p_nobody
        faces.append([*box, *rest])
    return [scores.p_male, scores.count, faces, scores.p_nobody, scores.model]


def unpacked(packed: Sequence[Any]) -> Scores:
    """Scores from the list that `_packed` made."""
    p_male, count, faces, p_nobody, model = packed
    judged = tuple(Face(Box(*face[:4]), *face[4:]) for face in faces)
    return Scores(p_male, count, judged, p_nobody, model)
