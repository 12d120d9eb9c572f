"""Giving the room of removed rows back to the disk: a SQLite file keeps its size by itself."""

from dataclasses import dataclass

import sqlalchemy as sa

from gdwatch.ledger.connection import connect, translated

_WORTH_IT = 0.25  # of the file; less than that is soon filled by new rows


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a ledger's file in bytes. free: of them, those that hold nothing."""

    bytes: int
    free: int

    @property
    def is_worth_shrinking(self) -> bool:
        """Whether so much of the file is free that it should be written anew."""
        return self.free > self.bytes * _WORTH_IT


def size_of(url: sa.URL) -> Size:
    """Return the size of the file; a database on a server looks after its room itself, and has 0.

    Raises Trouble.
    """
    if url.get_backend_name() != "sqlite":
        return Size(0, 0)
    engine = connect(url, writable=False)
    with translated(engine), engine.connect() as connection:
        page, count, free = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("page_size", "page_count", "freelist_count")
        )
    return Size(page * count, page * free)


def shrink(url: sa.URL) -> Size:
    """Write the file anew without what is free, and return its size then.

    Needs as much room again while it works, and lets no other process write: no service may run.
    Ended at any moment, it leaves the ledger as it was.

    Raises Trouble, as where the disk is full: the ledger is as it was then.
    """
    engine = connect(url, writable=True)
    with translated(engine), engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")  # in a transaction it is not allowed
        connection.exec_driver_sql("VACUUM")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return size_of(url)
