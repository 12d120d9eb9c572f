"""The Samba share and the FTP server of docs/operate.md, each tried by the real server.

They run under a systemd of their own, beside an installed service.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import build
from tests.machine import Machine, booted, lend_packages
from tests.test_newcomer import PEOPLE, clone

PAGE = (Path(__file__).parents[1] / "docs" / "operate.md").read_text()
FTP = """
import ftplib, io, sys
who, verb, *paths = sys.argv[1:]
with ftplib.FTP("localhost", who, "secret") as ftp:
    if verb == "put":
        for folder in ("inbox/ftp", "inbox/ftp/day"):
            ftp.mkd(folder)
        with open(paths[0], "rb") as file:
            ftp.storbinary("STOR inbox/ftp/day/b.png", file)
    elif verb == "take":
        taken = io.BytesIO()
        ftp.retrbinary(f"RETR {paths[0]}", taken.write)
        ftp.delete(paths[0])
        print(len(taken.getvalue()))
    else:
        print(*ftp.nlst())
"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(shutil.which("setfacl") is None, reason="setfacl is not installed"),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One where a service runs for the group photos, and anna, ben and eve have passwords."""
    with booted(tmp_path_factory.mktemp("machine")) as machine:
        offline = lend_packages(machine)
        machine.run(PEOPLE)
        machine.run("for name in anna ben eve; do echo $name:secret | chpasswd; done")
        clone(machine)
        machine.run(f"{offline} /srv/clone/deploy/install.sh --group photos")
        (machine.root / "srv/a.png").write_bytes(build.astronaut())
        machine.run("chmod 644 /srv/a.png")
        yield machine


def snippet(after: str) -> str:
    """The block of the page that follows these words."""
    found = re.search(r"```ini\n(.*?)```", PAGE[PAGE.index(after) :], re.DOTALL)
    assert found
    return found[1]


def filed(machine: Machine, name: str) -> str:
    """Where a file was filed, below the root."""
    find = f"cd /var/lib/gdwatch; find female male unsure -path '*{name}'"
    build.wait_until(lambda: machine.run(find).stdout, f"{name} is filed")
    return machine.run(find).stdout.strip()


def test_members_drop_and_take_away_by_samba(machine: Machine) -> None:
    if shutil.which("smbd") is None or shutil.which("smbclient") is None:
        pytest.skip("Debian's packages samba and smbclient are not installed")
    (machine.root / "etc/samba/share.conf").write_text(snippet("A Samba share"))
    machine.run("cat /etc/samba/share.conf >> /etc/samba/smb.conf; testparm -s")
    machine.run("for n in anna ben eve; do printf 'secret\\nsecret\\n' | smbpasswd -as $n; done")
    machine.run("systemctl start smbd")

    def smb(who: str, *commands: str) -> str:
        words = "; ".join(commands)
        share = f"smbclient //127.0.0.1/photographs -U {who}%secret"
        done = machine.run(f"cd /tmp; {share} -c '{words}' 2>&1", check=False)
        return done.stdout

    build.wait_until(lambda: "inbox" in smb("anna", "ls"), "it serves")
    seen = smb("anna", "ls")
    assert "results.db" not in seen
    assert ".gdwatch" not in seen
    assert "ACCESS_DENIED" in smb("eve", "ls")

    said = smb("anna", "mkdir inbox\\smb", "mkdir inbox\\smb\\day", "cd inbox\\smb\\day",
               "put /srv/a.png a.png")  # fmt: skip
    assert "NT_STATUS" not in said
    found = filed(machine, "smb/day/a.png")
    said = smb("ben", f"get {found} a.png", f"del {found}")
    assert "NT_STATUS" not in said
    machine.run("cmp /tmp/a.png /srv/a.png")
    machine.run(f"test ! -e /var/lib/gdwatch/{found}")


def test_members_drop_and_take_away_by_ftp(machine: Machine) -> None:
    if shutil.which("vsftpd") is None:
        pytest.skip("Debian's package vsftpd is not installed")
    (machine.root / "etc/vsftpd.part").write_text(snippet("For vsftpd"))
    machine.run("cat /etc/vsftpd.part >> /etc/vsftpd.conf; systemctl start vsftpd")
    (machine.root / "srv/ftp.py").write_text(FTP)

    def ftp(*words: str, check: bool = True) -> str:
        return machine.run(f"/usr/bin/python3 /srv/ftp.py {' '.join(words)}", check=check).stdout

    build.wait_until(lambda: "inbox" in ftp("anna", "list", check=False), "it serves")
    ftp("anna", "put", "/srv/a.png")
    found = filed(machine, "ftp/day/b.png")
    size = (machine.root / "srv/a.png").stat().st_size
    assert ftp("ben", "take", found).strip() == str(size)
    machine.run(f"test ! -e /var/lib/gdwatch/{found}")
    assert ftp("ben", "list").split() == ["female", "inbox", "male", "rejected", "unsure"]
    assert not ftp("eve", "list", check=False).strip()
