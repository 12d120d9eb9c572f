"""Drop rights: members of a group may drop photographs, and take the answers away.

The inbox and the answer folders belong to that group. The set-group-id bit hands the group on to
new sub-folders, and a default ACL makes their rights independent of the umask of whoever makes
them. A program that sets the mode itself, as `cp -r` does, still narrows them: for that the
service has capabilities, see deploy/gdwatch.service.d/group.conf.
"""

import contextlib
import grp
import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gdwatch.errors import ActionNeeded
from gdwatch.files.users import name_of
from gdwatch.root.folders import Folders

_FOLDERS_A_CALL = 500  # the kernel limits the length of a command line
_VANISHED = "No such file or directory"


@dataclass(frozen=True, slots=True)
class Group:
    """A group of users, by number and name. members: names of those that /etc/group lists."""

    gid: int
    name: str
    members: tuple[str, ...] = ()


def group_named(name: str) -> Group:
    """Look a group up. Raises ActionNeeded if there is none of that name."""
    try:
        found = grp.getgrnam(name)
    except KeyError as error:
        raise ActionNeeded(
            f"group {name}: no such group", f"make it: sudo groupadd {name}"
        ) from error
    return Group(found.gr_gid, found.gr_name, tuple(found.gr_mem))


def group_of(folders: Folders) -> Group | None:
    """Return the group that may drop into the inbox; None if `grant` was never called.

    Its name is empty if it is not there any more.
    """
    found = os.stat(folders.inbox)
    if not found.st_mode & stat.S_ISGID:
        return None
    try:
        entry = grp.getgrgid(found.st_gid)
    except KeyError:
        return Group(found.st_gid, "")
    return Group(entry.gr_gid, entry.gr_name, tuple(entry.gr_mem))


def grant(folders: Folders, group: Group) -> None:
    """Let the members of a group write to the inbox, the answer folders, and what lies below.

    The caller is the owner of the folders, and a member of the group; files, and folders of other
    owners, stay as they are. May be repeated, also while a service runs.

    Raises ActionNeeded.
    """
    owner = os.geteuid()
    for base in (folders.inbox, *folders.answers.values()):
        _require_owner(base, owner)
        ours = [base, *_folders_below(base, owner)]
        for folder in ours:
            _give(folder, group)
        rights = (f"u:{owner}:rwx", "g::rwx")
        _set_acl((*rights, "d:u::rwx", *(f"d:{right}" for right in rights)), ours)
        for folder in ours:  # last: a change of owner or ACL may clear it
            with contextlib.suppress(FileNotFoundError):
                os.chmod(folder, stat.S_IMODE(os.stat(folder).st_mode) | stat.S_ISGID)
    # Of the root they may only pass through: the ledger and .gdwatch stay the owner's.
    _set_acl((f"g:{group.gid}:r-x",), [folders.root])


def _require_owner(base: bytes, owner: int) -> None:
    try:
        found = os.stat(base).st_uid
    except OSError as error:
        raise ActionNeeded(
            f"folder {os.fsdecode(base)}: {(error.strerror or str(error)).lower()}",
            "put it back, or mount it",
        ) from error
    if found != owner:
        raise ActionNeeded(
            f"folder {os.fsdecode(base)}: belongs to {name_of(found)}",
            f"give it to the owner of the root: sudo chown {name_of(owner)} {os.fsdecode(base)}",
        )


def _folders_below(base: bytes, owner: int) -> Iterator[bytes]:
    """Yield the folders below one that belong to this user, as far as only such lead there."""
    with os.scandir(base) as found:
        below = [entry for entry in found if entry.is_dir(follow_symlinks=False)]
    for entry in below:
        with contextlib.suppress(FileNotFoundError):  # an empty one that the service has removed
            if entry.stat(follow_symlinks=False).st_uid == owner:
                yield entry.path
                yield from _folders_below(entry.path, owner)


def _give(folder: bytes, group: Group) -> None:
    try:
        os.chown(folder, -1, group.gid)
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise ActionNeeded(
            f"folder {os.fsdecode(folder)}: {name_of(os.geteuid())} is no member of {group.name}",
            f"run it as root: sudo gdwatch init --group {group.name}",
        ) from error


def _set_acl(entries: Sequence[str], folders: Sequence[bytes]) -> None:
    for first in range(0, len(folders), _FOLDERS_A_CALL):
        some = folders[first : first + _FOLDERS_A_CALL]
        try:
            done = subprocess.run(
                ["setfacl", "-m", ",".join(entries), "--", *some],
                capture_output=True, text=True, errors="replace", check=False,
                env={**os.environ, "LC_ALL": "C"},
            )  # fmt: skip
        except FileNotFoundError as error:
            raise ActionNeeded(
                "setfacl: not installed", "install the package acl: sudo apt install acl"
            ) from error
        failed = [line for line in done.stderr.splitlines() if not line.endswith(_VANISHED)]
        if failed:
            raise ActionNeeded(
                failed[0], "the file system must support POSIX ACLs, as ext4, xfs and btrfs do"
            )
