"""Trying the drop rights: a drop, a move, and taking away, each by the user who would do it."""

import os
import pwd
import shlex
import stat
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.files.users import name_of
from gdwatch.root.drop_rights import Group, group_of
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

_NOBODY = 65534


def try_drop_rights(settings: Settings) -> str:
    """Say who may drop; as root, try it as a member of that group. Raises GdwatchError."""
    folders = Folders.of(settings)
    if not folders.state.is_dir():
        return "not there yet"
    inbox, *answers = (
        Path(os.fsdecode(path)) for path in (folders.inbox, *folders.answers.values())
    )
    owner = inbox.stat().st_uid
    group = group_of(folders)
    if group is None:
        return f"{name_of(owner)} alone; `gdwatch init --group NAME` lets a group drop"
    if not group.name:
        raise ActionNeeded(
            f"{inbox}: its group {group.gid} is not there any more",
            f"make it again: sudo groupadd --gid {group.gid} photos",
        )
    for path in (inbox, *answers):
        if path.stat().st_mode & stat.S_IRWXG != stat.S_IRWXG:
            raise ActionNeeded(
                f"{path}: members of {group.name} may not write there", _grant(group)
            )
    if os.geteuid() != 0:
        return f"members of {group.name} may drop; `sudo gdwatch doctor` tries it as one of them"
    member = _a_member(group, owner)
    _try_as(member, owner, group, (inbox, *answers))
    return f"{name_of(member)}, with the group {group.name}, drops a folder and takes it away"


def _a_member(group: Group, owner: int) -> int:
    """The user id of a member who is not the owner; a stranger's if /etc/group lists none."""
    for name in group.members:
        try:
            found = pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
        if found not in (0, owner):
            return found
    return _NOBODY if owner != _NOBODY else _NOBODY - 1


def _try_as(member: int, owner: int, group: Group, folders: Sequence[Path]) -> None:
    """Drop a sub-folder as the member, file it as the owner, take it away as the member.

    Its name begins with a dot, so that the service leaves it alone. folders: the inbox first.
    """
    inbox, *answers = folders
    name = f".gdwatch-probe-{uuid.uuid4().hex[:8]}"
    dropped = shlex.quote(str(inbox / name))
    try:
        _sh(f"umask 077; mkdir {dropped} && : >{dropped}/probe", member, group,
            f"a member of {group.name} cannot drop into {inbox}")  # fmt: skip
        for answer in answers:
            filed = shlex.quote(str(answer / name))
            _sh(f"mv {dropped} {filed}", owner, group,
                f"{name_of(owner)} cannot file in {answer} what a member drops")  # fmt: skip
            _sh(f"mv {filed} {dropped}", member, group,
                f"a member of {group.name} cannot take away from {answer}")  # fmt: skip
    finally:
        subprocess.run(["rm", "-rf", "--", *(folder / name for folder in folders)], check=False)


def _sh(script: str, user: int, group: Group, failed: str) -> None:
    """Run a script as a user with this group and no other. Raises GdwatchError if it fails."""
    done = subprocess.run(
        ["sh", "-c", script], user=user, group=group.gid, extra_groups=[group.gid], cwd="/",
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["?"])[-1].rpartition(": ")[2].lower()
        raise GdwatchError(f"{failed}: {why}", _grant(group))


def _grant(group: Group) -> str:
    return f"sudo gdwatch init --group {group.name}; each folder above must let them pass (x)"
