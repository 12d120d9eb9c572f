"""Making a root before its first service, and the rights of a group to drop and to take away."""

import os
import pwd
from pathlib import Path

from gdwatch.ledger import opening
from gdwatch.root import drop_rights, lock, root_id
from gdwatch.root.drop_rights import Group
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings


def init(settings: Settings, group: Group | None) -> str:
    """Make what is missing of the root, and let the group drop there; return the root's id.

    Called as root, it first becomes the owner of the root, for good: whatever that user has put
    into the folders, links to other people's files too, gets no more than that user's rights.

    Raises ActionNeeded, and HeldError if another process is making the root.
    """
    folders = Folders.of(settings)
    _become_owner(folders, group)
    root_id.require_own(folders)
    if not lock.is_held(folders.state):  # a service that runs has made everything
        root_id.make_state(folders, lambda: opening.has_rows(settings))
        with lock.hold(folders.state, briefly=True):
            root_id.prepare(folders, settings.mode)
    if group is not None:
        drop_rights.grant(folders, group)
    return root_id.read_id(folders)


def _become_owner(folders: Folders, group: Group | None) -> None:
    if os.geteuid() != 0:
        return
    root = Path(os.fsdecode(folders.root))
    made = next((folder for folder in (folders.state, root) if folder.is_dir()), None)
    owner = 0 if made is None else made.stat().st_uid
    if owner == 0:
        return
    try:
        own_group = pwd.getpwuid(owner).pw_gid
    except KeyError:  # as in a container
        own_group = root.stat().st_gid
    os.setgroups([] if group is None else [group.gid])
    os.setgid(own_group)
    os.setuid(owner)
