"""From a clone to a sandboxed service on a Debian under systemd, upgraded, and gone again."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import build
from tests.faults.test_upgrade import NEXT
from tests.machine import Machine, booted, lend_packages

HERE = Path(__file__).parents[1]
PEOPLE = """
groupadd photos
for name in anna ben; do useradd --create-home --groups photos $name; done
useradd --create-home eve
"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(shutil.which("setfacl") is None, reason="setfacl is not installed"),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with booted(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


def test_a_newcomer_comes_from_a_clone_to_a_service_and_back(machine: Machine):
    offline = lend_packages(machine)
    machine.run(PEOPLE)
    files = "git ls-files -co --exclude-standard"
    machine.run(f"mkdir /srv/clone; cd {HERE}; {files} | tar -c -T - | tar -x -C /srv/clone")

    # A group that is not there changes nothing.
    refused = machine.run("/srv/clone/deploy/install.sh --group nobodys", check=False)
    assert (refused.returncode, refused.stderr.strip()) == (
        1, "install.sh: group nobodys: no such group; make it: groupadd nobodys"
    )  # fmt: skip

    install = f"{offline} /srv/clone/deploy/install.sh --group photos"
    machine.run(install)
    assert status(machine)["state"] == "running"  # from any folder, by /etc/gdwatch/gdwatch.toml

    # A member drops a tree of folders that nobody else may enter; another takes the answer away.
    machine.run("umask 077; mkdir -p trip/day", user="anna", folder="/home/anna")
    (machine.root / "home/anna/trip/day/a.png").write_bytes(build.astronaut())
    machine.run("chown anna: a.png; chmod 600 a.png", folder="/home/anna/trip/day")
    machine.run("umask 077; cp -r /home/anna/trip /var/lib/gdwatch/inbox/", user="anna")
    build.wait_until(lambda: status(machine)["filed"] == 1, "filed")
    found = machine.run("cd /var/lib/gdwatch; find . -name a.png").stdout.strip()
    assert found.endswith("/trip/day/a.png")
    assert not found.startswith("./inbox")
    assert '"batch.filed"' in machine.run("journalctl -u gdwatch").stdout
    machine.run(f"mv /var/lib/gdwatch/{found} /home/ben/", user="ben")
    assert machine.run("touch /var/lib/gdwatch/inbox/a.png", user="eve", check=False).returncode
    doctor = machine.run("gdwatch doctor --json", check=False).stdout
    told = {each["name"]: each for each in json.loads(doctor)["findings"]}
    assert told["drop rights"]["what"].startswith("anna, with the group photos, drops")

    # Killed, it is back; the next version brings the ledger along with its rows.
    machine.run("systemctl kill --signal KILL --kill-whom main gdwatch")
    build.wait_until(lambda: restarts(machine) == 1 and is_active(machine), "started again")
    machine.run("cat > /srv/clone/migrations/versions/0003_add_note.py << 'END'\n" + NEXT + "END")
    machine.run(install)
    assert "ledger 0003" in machine.run("gdwatch db current").stdout
    assert status(machine)["filed"] + status(machine).get("missing", 0) == 1
    machine.run("ls /var/lib/gdwatch/results.db.*.snapshot")

    # A second root beside it, by the template.
    machine.run("sed 's,/var/lib/gdwatch,&-studio,' /etc/gdwatch/gdwatch.toml > "
                "/etc/gdwatch/studio.toml; systemctl start gdwatch@studio")  # fmt: skip
    studio = machine.run("gdwatch status --json --config /etc/gdwatch/studio.toml").stdout
    assert json.loads(studio)["state"] == "running"

    # A second service on a root is refused, and not started again.
    second = "runuser -u gdwatch -- gdwatch run"
    assert machine.run(second, check=False).returncode == 75

    machine.run("/srv/clone/deploy/install.sh --uninstall")
    assert machine.run("command -v gdwatch", check=False).returncode != 0
    assert machine.run("systemctl cat gdwatch", check=False).returncode != 0
    machine.run("test ! -e /opt/gdwatch; ls /var/lib/gdwatch/results.db /etc/gdwatch/gdwatch.toml")


def test_the_debian_package_is_installed_and_removed_without_the_data(machine: Machine):
    offline = lend_packages(machine)
    packages = machine.run("cat /opt/gdwatch/lib/python3*/site-packages/lent.pth").stdout.strip()
    machine.run("rm -rf /srv/clone /var/lib/gdwatch* /etc/gdwatch /etc/systemd/system/gdwatch*")
    files = "git ls-files -co --exclude-standard"
    machine.run(f"mkdir /srv/clone; cd {HERE}; {files} | tar -c -T - | tar -x -C /srv/clone")
    machine.run(f"{offline} PYTHONPATH={packages} /srv/clone/deploy/build-deb.sh /srv/dist")
    machine.run("dpkg -i --force-depends /srv/dist/gdwatch_*.deb")
    assert is_active(machine)
    assert status(machine)["state"] == "running"
    build.wait_until(lambda: machine.run("test -e /var/lib/gdwatch/results.db", check=False)
                     .returncode == 0)  # fmt: skip
    machine.run("dpkg -i --force-depends /srv/dist/gdwatch_*.deb")  # as an upgrade does
    assert is_active(machine)
    machine.run("dpkg --purge gdwatch")
    assert machine.run("systemctl cat gdwatch", check=False).returncode != 0
    machine.run("test ! -e /opt/gdwatch; ls /var/lib/gdwatch/results.db /var/lib/gdwatch/inbox")


def status(machine: Machine) -> dict[str, object]:
    answer: dict[str, object] = json.loads(machine.run("cd /; gdwatch status --json").stdout)
    return answer


def restarts(machine: Machine) -> int:
    return int(machine.run("systemctl show -P NRestarts gdwatch").stdout)


def is_active(machine: Machine) -> bool:
    return machine.run("systemctl is-active -q gdwatch", check=False).returncode == 0
