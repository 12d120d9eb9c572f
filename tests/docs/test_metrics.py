"""docs/metrics.md: its settings can be loaded; its table is compared with a running service by
tests/gdwatch/service/test_metrics_server.py, its alerts by tests/test_alerts.py."""

import re
from pathlib import Path

import pytest

from gdwatch import settings
from tests.docs.pages import DOCS, text_of

EXAMPLES = re.findall(r"```toml\n(.*?)```", text_of(DOCS / "metrics.md"), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_settings_that_are_shown_can_be_loaded(example: str, tmp_path: Path) -> None:
    (tmp_path / "gdwatch.toml").write_text(example)
    assert settings.load({}, tmp_path / "gdwatch.toml").settings.metrics_port == 9464
