"""What lies in the inbox after a move, and is to be remembered as an original there."""

import os

from gdwatch.files import content
from gdwatch.files.identity import identity_of
from gdwatch.filing import move
from gdwatch.ledger.originals import Original
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Entry, Identity


def original_of(entry: Entry, handles: Handles, held: int | None) -> Original | None:
    """Return the file that a move has left in the inbox, or has put back there.

    entry: of a move that is done. held: the descriptor through which the file was judged just now;
    without one its bytes are compared.

    Returns None if there is none, or another one by now: that is a drop of its own.
    """
    goes_back = move.goes_back(entry, handles.folders)
    path = entry.target if goes_back else entry.source
    if not path.startswith(handles.folders.inbox + b"/"):
        return None
    if not (goes_back or move.stays(entry, handles.folders)):
        return None
    try:
        identity = _identity(entry, path, handles, held)
    except OSError:
        return None  # it is gone, or cannot be read
    if identity is None or identity.size_bytes != entry.size_bytes:
        return None
    return Original(entry.id, path, identity, entry.mode == "link" and not goes_back)


def _identity(entry: Entry, path: bytes, handles: Handles, held: int | None) -> Identity | None:
    if held is None:
        return content.identity_with(handles.parent(path), entry.sha256)
    return None if move.changed_since(entry, held) else identity_of(os.fstat(held))
