r"""Escaping: file names are bytes; the ledger, the logs and the answers show them as text.

Bytes that are not UTF-8 and control characters are written as `\xff`, a backslash as `\\`.
A name can thus neither break a line nor control a terminal, and the escaping is reversible.
"""

import re
import shlex
import unicodedata

# Bidirectional controls reverse the text that follows: a suffix or a reason could be forged.
_BIDIRECTIONAL = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})|\\\\")


def escape(name: bytes) -> str:
    """Return a name or path as one line of printable text; `unescape` reverses it."""
    text = name.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:  # the fast path, for most names
        return text
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character == "\\":
        return r"\\"
    # Cc: control characters; Zl, Zp: line breaks beyond ASCII; Cs: bytes that are not UTF-8.
    if unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") or character in _BIDIRECTIONAL:
        raw = character.encode("utf-8", "surrogateescape")
        return "".join(f"\\x{byte:02x}" for byte in raw)
    return character


def quote_for_shell(name: bytes) -> str:
    """Return a name quoted for a shell command, on one line, so that a person can paste it."""
    if escape(name) == (text := name.decode("utf-8", "replace")):
        return shlex.quote(text)
    unsafe = re.compile(rb"[^A-Za-z0-9_./~-]")
    escaped = unsafe.sub(lambda found: b"\\x%02x" % ord(found[0]), name)
    return f"$'{escaped.decode()}'"


def unescape(text: str) -> bytes:
    """Return the bytes that `escape` turned into this text."""
    return _ESCAPED.sub(
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\",
        text.encode("utf-8", "surrogateescape"),
    )


def relative_text(path: bytes, root: bytes) -> str:
    """Escape an absolute path, made relative to the root if it is below, as in the ledger."""
    return escape(path.removeprefix(root.rstrip(b"/") + b"/"))


def absolute_path(text: str, root: bytes) -> bytes:
    """Return the absolute path that `relative_text` turned into this text."""
    path = unescape(text)
    return path if path.startswith(b"/") else root.rstrip(b"/") + b"/" + path
