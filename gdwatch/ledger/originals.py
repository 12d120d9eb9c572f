"""Originals: files in the inbox that stay there, and are not taken again until they change.

With the modes `copy` and `link` every filed photograph has one, and `restore` makes one of each
file that it puts back into the inbox. An original is known by inode, size, modification time and
status change time, wherever below the inbox it lies. Where only the inode or the status change time
is another, its bytes decide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from gdwatch.ledger import prepared_statements
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.tables import originals
from gdwatch.ledger.transaction import Transaction
from gdwatch.values import Identity, Judged


@dataclass(frozen=True, slots=True)
class Original:
    """A file in the inbox that stays there.

    file_id: of its row in `files`. path: absolute.
    is_linked: whether the filed photograph is another name of it: then its status change time tells
        nothing, since it changes whenever that name does.
    """

    file_id: int
    path: bytes
    identity: Identity
    is_linked: bool = False


def unchanged(ledger: Ledger, files: Mapping[bytes, Identity]) -> set[bytes]:
    """Return those of these files that are originals, unchanged; one query for all.

    files: by absolute path. Raises Trouble.
    """
    if not files:
        return set()
    wanted = {path: _as_stored(identity) for path, identity in files.items()}
    inodes = {"root_id": ledger.root_id, "inodes": [each[0] for each in wanted.values()]}
    with ledger.reading() as connection:
        known = {tuple(row) for row in prepared_statements.ORIGINALS.run(connection, inodes)}
    return {path for path, each in wanted.items() if each in known or (*each[:-1], None) in known}


def recognise(transaction: Transaction, judged: Sequence[Judged]) -> set[bytes]:
    """Return the paths of those of these drops that are originals by their bytes.

    They have the size, the modification time and the bytes of an original, and its inode or its
    path: they were renamed, put back from a backup, or only their mode has changed. From then on
    they are known as they are now. Files that `restore` is just putting back are returned, too.
    """
    drops = {each.opened.drop.path: each for each in judged}
    found = set(transaction.at(set(drops)))
    stored = {path: _as_stored(each.opened.drop.identity) for path, each in drops.items()}
    wanted = {
        "root_id": transaction.root_id,
        "inodes": [each[0] for each in stored.values()],
        "paths": [transaction.text(path) for path in drops],
    }
    rows = list(prepared_statements.ORIGINALS_LIKE.run(transaction.connection, wanted))
    for row in rows:
        for path, each in drops.items():
            inode, size_bytes, modified_ns, changed_ns = stored[path]
            is_near = row.inode == inode or row.path == transaction.text(path)
            of_drop = size_bytes, modified_ns, each.decoded.sha256
            if is_near and of_drop == (row.size_bytes, row.modified_ns, row.sha256):
                found.add(path)
                now = {"path": transaction.text(path), "inode": inode}
                if row.changed_ns is not None:
                    now["changed_ns"] = changed_ns
                transaction.connection.execute(
                    sa.update(originals).where(originals.c.id == row.id).values(**now)
                )
    return found


def remember(transaction: Transaction, found: Sequence[Original]) -> None:
    """Remember originals, each instead of what was remembered at its path before."""
    if not found:
        return
    rows = []
    for each in found:
        inode, size_bytes, modified_ns, changed_ns = _as_stored(each.identity)
        rows.append(
            {
                "root_id": transaction.root_id,
                "file_id": each.file_id,
                "path": transaction.text(each.path),
                "inode": inode,
                "size_bytes": size_bytes,
                "modified_ns": modified_ns,
                "changed_ns": None if each.is_linked else changed_ns,
            }
        )
    places = [{"root_id": row["root_id"], "at": row["path"]} for row in rows]
    prepared_statements.FORGET_ORIGINALS_AT.run(transaction.connection, *places)
    prepared_statements.INSERT_ORIGINALS.run(transaction.connection, *rows)


def forget(transaction: Transaction, file_id: int) -> None:
    """Forget the original of a row: its file leaves the inbox, or has left it."""
    transaction.connection.execute(sa.delete(originals).where(originals.c.file_id == file_id))


def _as_stored(identity: Identity) -> tuple[int, int, int, int]:
    """Return an identity as the 64 bits of a database column hold it."""
    inode = identity.inode - 2**64 if identity.inode >= 2**63 else identity.inode
    changed_ns = max(-(2**63), min(identity.changed_ns, 2**63 - 1))
    return inode, identity.size_bytes, identity.modified_ns, changed_ns
