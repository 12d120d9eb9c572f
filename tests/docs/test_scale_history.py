"""docs/scale.md: history by root and month, on a PostgreSQL server."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from gdwatch.ledger import opening
from gdwatch.settings import Settings
from tests.bench.large_ledger import fill
from tests.bench.ledger_size import batch_of, file
from tests.docs.pages import DOCS, text_of
from tests.postgresql import driven, server

TEXT = text_of(DOCS / "scale.md")
MAKE, ASK = re.findall(
    r"```sql\n(.*?)```", TEXT.partition("## When the ledger becomes the bound")[2], re.DOTALL
)


def test_history_by_root_and_month_is_as_the_page_says(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with server(tmp_path_factory.mktemp("postgresql")) as url:
        settings = Settings(root=Path("/srv/studio"), database=url)
        ledger = opening.open_ledger(settings, "a-root", serve=True)
        file(ledger, batch_of(0))
        fill(ledger.engine, 500)
        ledger.close()
        engine = sa.create_engine(driven(url))
        with engine.begin() as connection:
            # As the page has it, these were recorded in November 2026; some later.
            month = "timestamp '2026-11-01' + (id % 45) * interval '1 day'"
            connection.execute(sa.text(f"UPDATE files SET recorded_at = {month}"))
            for statement in MAKE.split(";")[:-1]:
                connection.execute(sa.text(statement))
            connection.execute(sa.text(
                "CREATE TABLE history_studio_2026_12 PARTITION OF history_studio "
                "FOR VALUES FROM ('2026-12-01') TO ('2027-01-01')"
            ))  # fmt: skip
            wanted = connection.execute(sa.text(
                "SELECT count(*) FROM files WHERE recorded_at < '2026-12-01'"
            )).scalar_one()  # fmt: skip
            answer = connection.execute(sa.text(ASK)).all()
            plan = "\n".join(connection.execute(sa.text(f"EXPLAIN {ASK}")).scalars())
            connection.execute(sa.text("DROP TABLE history_studio_2026_11"))
            left = connection.execute(sa.text("SELECT count(*) FROM history")).scalar_one()
        engine.dispose()
    assert 0 < wanted < 532
    assert sum(count for _, count in answer) == wanted
    assert "history_studio_2026_11" in plan
    assert "history_studio_2026_12" not in plan
    assert left == 0
