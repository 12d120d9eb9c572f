"""`gdwatch init`: make a root, and say who may drop photographs there."""

from gdwatch.files import escaping
from gdwatch.jobs import init as job
from gdwatch.root import drop_rights
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings


def init(settings: Settings, group_name: str | None) -> None:
    """Make the root; group_name: whose members may drop, and take answers away."""
    group = None if group_name is None else drop_rights.group_named(group_name)
    uuid = job.init(settings, group)
    folders = Folders.of(settings)
    print(f"{escaping.escape(folders.root)}: {uuid}")
    if group is not None:
        inbox, answers = escaping.escape(folders.inbox), ", ".join(folders.answers)
        print(f"members of {group.name} drop into {inbox}, and take away from {answers}")
