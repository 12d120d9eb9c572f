"""Members of a group drop whole trees and take the answers away, whatever their umask."""

import grp
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from tests import build
from tests.faults.case import Case
from tests.faults.launch import Run, call
from tests.faults.surroundings import (
    NOBODY,
    another_user,
    give_to_nobody,
    ready,
    refused,
    status,
    stop,
    wait_for,
)  # fmt: skip

GROUP = "users"  # every Debian has it
ANNA, BEN = 61001, 61002
CAPABILITIES = (1, 28)  # CAP_DAC_OVERRIDE and CAP_LEASE, as in deploy/gdwatch.service.d/group.conf
WAYS = {
    "cp": "cp -r {tree} {inbox}/",
    "cp-a": "cp -a {tree} {inbox}/",
    "mv": "mv {tree} {inbox}/",
    "tar": "tar -C {home} -c {name} | tar -C {inbox} -x",
    "new": "mkdir -p {inbox}/{name}/day; cat {tree}/day/a.png > {inbox}/{name}/day/a.png",
}

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setfacl") is None,
    reason="only root can become other users, and setfacl must be installed",
)


def as_user(user: int, script: str, *, member: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a script as a user with a group of the same number, and with GROUP if a member."""
    groups = [grp.getgrnam(GROUP).gr_gid] if member else []
    return subprocess.run(
        ["sh", "-ec", script], user=user, group=user, extra_groups=groups, cwd="/",
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def shared(case: Case) -> None:
    """Give the root to a service user; an administrator lets the group drop there."""
    give_to_nobody(case)
    case.root.chmod(0o750)
    run = init(case)
    assert run.status == 0, run.text()
    assert f"members of {GROUP} drop into {case.inbox}" in run.answer()


def init(case: Case, group: str = GROUP, allowed: Sequence[int] = (0,)) -> Run:
    """Run it as root."""
    reachable = call("tests.faults.other_user:open_the_way", aside=str(case.folder / "aside"))
    return case.run("init", "--group", group, before=[reachable], allowed=allowed)


def tree(case: Case, name: str, umask: str) -> Path:
    """A folder of Anna's, as she makes one with this umask: one photograph in a sub-folder."""
    made = case.folder / "home" / name
    (made / "day").mkdir(parents=True)
    (made / "day" / "a.png").write_bytes(case.picture(0.97))
    for path in (case.folder / "home", made, made / "day", made / "day" / "a.png"):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~int(umask, 8))
        os.chown(path, ANNA, ANNA)
    return made


def wait_for_rows(case: Case, run: Run, count: int) -> None:
    def filed() -> bool:
        assert run.status is None, run.text()
        return sum(row["state"] == "filed" for row in case.rows()) >= count

    build.wait_until(filed, f"{count} rows filed")


def test_a_member_drops_whole_trees_whatever_the_umask_and_another_takes_them_away(case: Case):
    shared(case)
    run = ready(case, before=[another_user(case, CAPABILITIES)])
    names = []
    for (way, script), umask in product(WAYS.items(), ("022", "077")):
        names.append(f"{way}-{umask}")
        dropped = tree(case, names[-1], umask)
        words = {"tree": dropped, "home": dropped.parent, "name": names[-1], "inbox": case.inbox}
        done = as_user(ANNA, f"umask {umask}; " + script.format(**words))
        assert done.returncode == 0, done.stderr
    wait_for_rows(case, run, len(names))
    assert status(case)["skipped"] == {}
    for name in names:
        answer = case.root / "male" / name / "day" / "a.png"
        done = as_user(BEN, f"mv {answer} {case.inbox}/.taken-{name}")
        assert done.returncode == 0, done.stderr
    assert not list((case.root / "male").rglob("*.png"))
    stop(run)


def test_what_the_service_starts_has_none_of_its_capabilities(case: Case):
    shared(case)
    run = ready(case, before=[another_user(case, CAPABILITIES)])
    assert effective(run.pid) == sum(1 << number for number in CAPABILITIES)
    children = build.descendants(run.pid)
    assert children
    assert {effective(child) for child in children} == {0}
    stop(run)


def effective(pid: int) -> int:
    found = re.search(r"^CapEff:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1], 16)


def test_without_capabilities_a_private_folder_stays_and_is_named(case: Case):
    shared(case)
    done = as_user(ANNA, f"cp -r {tree(case, 'private', '077')} {case.inbox}/")
    assert done.returncode == 0, done.stderr
    run = ready(case, before=[another_user(case)])
    (told,) = wait_for(run, "inbox.skipped")
    assert (Path(told["name"]).name, told["reason"]) == ("private", "permission")
    assert told["hint"] == "let the service read and write this folder"
    stop(run)


def test_who_is_no_member_drops_nothing_and_members_see_no_ledger(case: Case):
    shared(case)
    case.run("run", "--once", before=[another_user(case)])
    assert as_user(ANNA, f"touch {case.inbox}/a.png", member=False).returncode != 0
    assert as_user(ANNA, f"ls {case.root}").returncode == 0
    for path in (".gdwatch/lock", "female"):
        assert as_user(ANNA, f": > {case.root}/{path}").returncode != 0


def test_init_as_an_administrator_makes_everything_the_owners(case: Case):
    shared(case)
    made = [case.root, *case.root.rglob("*")]
    assert {path.name for path in made} >= {"inbox", "root-id", "lock", "unsure"}
    assert {path.stat().st_uid for path in made} == {NOBODY}
    before = {path: (path.stat().st_mode, path.stat().st_gid) for path in made}
    assert init(case).status == 0
    assert {path: (path.stat().st_mode, path.stat().st_gid) for path in made} == before


def test_init_gives_nothing_of_others_to_the_group(case: Case):
    """The service's user may put a link where a folder was: it leads to no rights of root's."""
    give_to_nobody(case)
    secret = case.folder / "secret"
    secret.mkdir(mode=0o700)
    case.inbox.rmdir()
    case.inbox.symlink_to(secret)
    refused(case, init(case, allowed=(78,)), f"folder {secret}: cannot be written")
    assert (secret.stat().st_mode & 0o7777, secret.stat().st_gid) == (0o700, 0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("--group", "photographers"),
            "group photographers: no such group; make it: sudo groupadd",
        ),
        (("--group", "daemon"), "is no member of daemon; run it as root: sudo gdwatch init"),
    ],
)
def test_a_group_that_is_not_there_or_not_ones_own_is_said_in_one_line(case: Case, words, told):
    nobody = give_to_nobody(case)
    refused(case, case.run("init", *words, before=[nobody], allowed=(78,)), told)


def test_doctor_tries_the_rights_as_a_member(case: Case):
    shared(case)
    assert "drops a folder and takes it away" in doctor_on_drops(case)["what"]
    (case.root / "unsure").chmod(0o2700)
    found = doctor_on_drops(case)
    assert "unsure: members of users may not write there" in found["what"]
    assert "gdwatch init --group users" in found["todo"]
    (case.root / "unsure").chmod(0o2770)
    os.chown(case.inbox, -1, 54321)
    case.inbox.chmod(0o2770)
    found = doctor_on_drops(case)
    assert "its group 54321 is not there any more" in found["what"]
    assert found["remedy"] == "sudo groupadd --gid 54321 photos"
    os.chown(case.inbox, -1, grp.getgrnam("users").gr_gid)
    case.inbox.chmod(0o2770)
    os.chown(case.folder, 0, 0)
    case.folder.chmod(0o700)  # so that nobody but root gets as far as the root
    found = doctor_on_drops(case)
    assert f"cannot drop into {case.inbox}: permission denied" in found["what"]
    assert not list(case.root.rglob(".gdwatch-probe*"))


def doctor_on_drops(case: Case) -> dict[str, str]:
    asked = case.run("doctor", "--json", allowed=(78,))  # the root is not root's
    (found,) = [
        each for each in json.loads(asked.answer())["findings"] if each["name"] == "drop rights"
    ]
    return found
