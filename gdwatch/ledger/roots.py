"""The roots that share a ledger, each with a row in `roots`, known by its root-id.

Where a root lies is only noted: the note follows a root that has moved. A root that the ledger does
not know joins only when it is told to, unless it is the first one: a wrong `database` must not mix
two roots.
"""

import os
import socket
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from gdwatch.errors import ActionNeeded
from gdwatch.files import escaping
from gdwatch.ledger.tables import files, roots
from gdwatch.ledger.transaction import Transaction, now

_ROOT_ID = Path(".gdwatch", "root-id")
_NAMED = 3  # roots in a message


def find(connection: Connection, uuid: str) -> int | None:
    """Return the id of a root's row; None if the ledger has no roots as yet.

    Raises ActionNeeded if it has others, and not this one.
    """
    found = connection.execute(sa.select(roots.c.id).where(roots.c.uuid == uuid)).scalar()
    if found is None and (others := all_roots(connection)):
        named = ", ".join(place_of(root) for root in others[:_NAMED])
        more = ", …" if len(others) > _NAMED else ""
        raise ActionNeeded(
            f"root-id {uuid}: the ledger belongs to another root ({named}{more})",
            "is the right disk mounted? put its root-id back, or set `database` elsewhere; "
            "`gdwatch db join` lets this root share the ledger",
        )
    return found


def own(transaction: Transaction, uuid: str, *, join: bool = False) -> int:
    """Return the id of a root's row, which says where it lies now; the first root gets one.

    join: any root gets one.

    Raises ActionNeeded if the ledger has other roots and not this one, or another folder of this
    machine has the same root-id and shares the ledger.
    """
    connection = transaction.connection
    unused = _unused_here(transaction)
    if unused is not None:
        connection.execute(sa.update(roots).where(roots.c.id == unused).values(uuid=uuid))
    query = sa.select(roots.c.id).where(roots.c.uuid == uuid)
    found = connection.execute(query).scalar() if join else find(connection, uuid)
    if found is None:
        return transaction.insert(roots, uuid=uuid, first_used_at=now(), **_here(transaction.root))
    _require_no_copy(transaction, found, uuid)
    _note_place(transaction, found)
    return int(found)


def all_roots(connection: Connection) -> list[sa.RowMapping]:
    """Return the rows of `roots`, by id."""
    return list(connection.execute(sa.select(roots).order_by(roots.c.id)).mappings())


def place_of(root: sa.RowMapping) -> str:
    """Return where a root lies, as `darkroom:/srv/photographs`."""
    return f"{root['host'] or '?'}:{root['path'] or '?'}"


def require_unknown(connection: Connection, root: bytes) -> None:
    """Raise ActionNeeded if the ledger knows a root at this place, whose root-id is not there.

    root: absolute path on this machine.
    """
    here = _here(root)
    query = sa.select(roots.c.uuid).where(*(roots.c[name] == here[name] for name in here))
    found = connection.execute(query).scalar()
    if found is not None:
        raise ActionNeeded(
            f"{here['path']}: the ledger knows a root there, whose root-id is missing",
            f"is the right disk mounted? else write {found} into {_ROOT_ID}",
        )


def _here(root: bytes) -> dict[str, str]:
    return {"host": socket.gethostname(), "path": escaping.escape(root)}


def _note_place(transaction: Transaction, root_id: int) -> None:
    """Note where a root lies, for those who read its relative paths elsewhere."""
    place = _here(transaction.root)
    elsewhere = sa.or_(*(roots.c[name].is_distinct_from(value) for name, value in place.items()))
    transaction.connection.execute(
        sa.update(roots).where(roots.c.id == root_id, elsewhere).values(**place)
    )


def _unused_here(transaction: Transaction) -> int | None:
    """Return the only root's id if it lies here and has no files: its root-id may be made anew."""
    known = all_roots(transaction.connection)
    here = _here(transaction.root)
    if len(known) != 1 or any(known[0][name] not in (None, here[name]) for name in here):
        return None
    has_files = transaction.connection.execute(sa.select(files.c.id).limit(1)).first()
    return None if has_files else int(known[0]["id"])


def _require_no_copy(transaction: Transaction, root_id: int, uuid: str) -> None:
    """Raise ActionNeeded if this root is a copy: both would take each other's rows for theirs.

    A copy that has the ledger in it has a copy of that, too.
    """
    connection = transaction.connection
    database = os.fsencode(Path(connection.engine.url.database or "").resolve())
    if connection.dialect.name == "sqlite" and database.startswith(transaction.root + b"/"):
        return
    query = sa.select(roots).where(roots.c.id == root_id)
    noted = connection.execute(query).mappings().one()
    here = _here(transaction.root)
    if noted["path"] is None or noted["host"] != here["host"] or noted["path"] == here["path"]:
        return
    other = Path(os.fsdecode(escaping.unescape(noted["path"])))
    try:
        is_copy = (other / _ROOT_ID).read_text(encoding="ascii").strip() == uuid
        if not is_copy or other.samefile(os.fsdecode(transaction.root)):
            return
    except (OSError, ValueError):
        return
    raise ActionNeeded(
        f"root-id {uuid}: {noted['path']} has it, too, and shares this ledger",
        f"if {here['path']} is a copy, remove its {_ROOT_ID}, and add it with `gdwatch db join`",
    )
