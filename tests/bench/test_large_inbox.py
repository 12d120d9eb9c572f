"""The benchmark of large inboxes in a small form: what it makes of a kernel that watches few."""

import subprocess
from pathlib import Path

import pytest

from tests.bench.large_inbox import measure


def test_folders_beyond_the_limit_are_named_with_the_remedy_and_their_files_are_filed(
    tmp_path: Path,
) -> None:
    if subprocess.run(["unshare", "--user", "true"], check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    found = measure(tmp_path, files=40, folders=40, watches=20, seconds=120)
    assert found.filed == 40
    assert found.limited is not None
    assert found.limited["watched"] == 20
    assert found.limited["unwatched"] == 1 + 1 + 40 - 20  # the inbox, the first level, the second
    remedy = found.limited["hint"]
    assert remedy.startswith("sudo sysctl fs.inotify.max_user_watches=")
    beyond = "watch     22 folders are beyond the kernel's limit, and are listed instead"
    assert f"{beyond}\n          $ {remedy}" in found.status
