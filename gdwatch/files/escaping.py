r"""File names are bytes; the ledger, the logs and the answers show them as text.

Bytes that are no UTF-8 and control characters stand in the text as `\xff`, a backslash as `\\`.
So a name can neither break a line nor steer a terminal, and the text gives the bytes back.
"""

import re
import shlex
import unicodedata

# Would show what follows from right to left: another suffix, another reason.
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})|\\\\")


def escape(name: bytes) -> str:
    """Show a name or path as one line of text."""
    text = name.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:  # most names: nothing to look for letter by letter
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character == "\\":
        return r"\\"
    # Cc: control characters; Zl, Zp: line breaks beyond ASCII; Cs: bytes that were no UTF-8.
    if unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") or character in _TURNING:
        raw = character.encode("utf-8", "surrogateescape")
        return "".join(f"\\x{byte:02x}" for byte in raw)
    return character


def quote_for_shell(name: bytes) -> str:
    """Write a name for a command that a person will paste into a shell: quoted, on one line."""
    if escape(name) == (text := name.decode("utf-8", "replace")):
        return shlex.quote(text)
    bare = re.compile(rb"[^A-Za-z0-9_./~-]")
    escaped = bare.sub(lambda found: b"\\x%02x" % ord(found[0]), name)
    return f"$'{escaped.decode()}'"


def unescape(text: str) -> bytes:
    """Give the bytes back that `escape` has shown."""
    return _ESCAPED.sub(
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\",
        text.encode("utf-8", "surrogateescape"),
    )


def relative_text(path: bytes, root: bytes) -> str:
    """Show an absolute path as the ledger does: relative to the root where it lies below it."""
    return escape(path.removeprefix(root.rstrip(b"/") + b"/"))


def absolute_path(text: str, root: bytes) -> bytes:
    """Give the absolute path back that `relative_text` has shown."""
    path = unescape(text)
    return path if path.startswith(b"/") else root.rstrip(b"/") + b"/" + path
