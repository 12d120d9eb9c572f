"""A Debian under its own systemd, in namespaces of this machine; what it writes is gone with it."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build import wait_until

# The folders of this machine lie below a layer in memory. It has no network but a loopback.
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 gdwatch-test {folder}
cd {folder}
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
cd root
mount -t proc proc proc
mount --rbind /sys sys
mount --make-rslave sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
    : > dev/$node
    mount --bind /dev/$node dev/$node
done
ln -s /proc/self/fd dev/fd
mkdir dev/shm dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
umount -l sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
mount -t cgroup -o none,name=systemd,xattr cgroup sys/fs/cgroup/systemd ||
    mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup/unified || true
: > etc/fstab
rm -f etc/systemd/system/*.wants/* etc/machine-id
echo uninitialized > etc/machine-id
mkdir -p old
pivot_root . old
umount -l old
exec env -i container=unshare PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot . /lib/systemd/systemd --show-status=0 systemd.unit=basic.target
"""


class Machine:
    """One that has booted. process: its first one, as this machine sees it; root: its files."""

    def __init__(self, process: int) -> None:
        self.process = process
        self.root = Path(f"/proc/{process}/root")

    def run(
        self, script: str, *, user: str = "root", folder: str = "/", check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run a shell script in it, as a login of this user would."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.process), "--all", "env", "-i", "HOME=/", "LC_ALL=C.UTF-8",
             "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
             "runuser", "-u", user, "--", "sh", "-euc", f"cd {folder}\n{script}"],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done


@contextlib.contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Boot one; folder: an empty one, for its layer."""
    for needed in ("unshare", "nsenter", "pivot_root"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed")
    if os.geteuid() != 0 or not Path("/lib/systemd/systemd").exists():
        pytest.skip("only root can boot a systemd, where there is one")
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork",
             "--kill-child", "bash", "-c", BOOT.format(folder=folder)],
            stdin=subprocess.DEVNULL, stdout=told, stderr=told,
        )  # fmt: skip
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            wait_until(lambda: process.poll() is not None or _is_systemd(children))
            if process.poll() is not None:
                told.seek(0)
                pytest.skip(f"no systemd can be booted here: {told.read()}")
            machine = Machine(int(children.read_text()))
            wait_until(lambda: machine.run("systemctl is-active -q basic.target", check=False)
                       .returncode == 0, "booted")  # fmt: skip
            yield machine
        finally:
            process.kill()
            process.wait()


def _is_systemd(children: Path) -> bool:
    first = children.read_text().split()
    return bool(first) and Path(f"/proc/{first[0]}/comm").read_text().strip() == "systemd"


def lend_packages(machine: Machine) -> str:
    """Give it an environment with the packages of this one; returns what keeps pip off the network.

    An install then takes seconds and nothing is downloaded; gdwatch itself is built and installed.
    """
    torch = importlib.util.find_spec("torch")
    assert torch is not None
    assert torch.origin is not None
    packages = Path(torch.origin).parents[1]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    made = machine.run(
        f"/usr/bin/python{version} -m venv /opt/gdwatch\n"
        f"echo {packages} > /opt/gdwatch/lib/python{version}/site-packages/lent.pth\n"
        f"runuser -u nobody -- ls {packages}/torch",
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"Debian's Python cannot use the packages of this one: {made.stderr}")
    return "PIP_NO_DEPS=1 PIP_NO_BUILD_ISOLATION=0"  # the latter turns the isolation off
