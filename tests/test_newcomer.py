"""From a clone to a sandboxed service on a Debian under systemd, upgraded, and gone again."""

import json
import re
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
    clone(machine)

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
    assert events(machine, "debug")["batch.filed"] == "6"  # info
    machine.run("ln -s a.png /var/lib/gdwatch/inbox/link.png", user="anna")
    build.wait_until(lambda: events(machine, "warning") == {"inbox.skipped": "4"}, "its warning")
    assert status(machine)["skipped"] == {"/var/lib/gdwatch/inbox/link.png": "symlink"}
    machine.run("rm /var/lib/gdwatch/inbox/link.png", user="anna")
    look_with_prometheus(machine)
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

    # A setting that nobody knows: one line, status 78, and no other try.
    machine.run("echo 'metrics_prot = 1' >> /etc/gdwatch/gdwatch.toml")
    assert machine.run("systemctl restart gdwatch", check=False).returncode != 0
    said = machine.run("journalctl -u gdwatch -p err -o cat").stdout
    assert "unknown setting metrics_prot (/etc/gdwatch/gdwatch.toml); did you mean" in said
    shown = machine.run("systemctl show -P NRestarts -P ExecMainStatus -P SubState gdwatch").stdout
    assert sorted(shown.split()) == ["0", "78", "failed"]
    machine.run("sed -i '/metrics_prot/d' /etc/gdwatch/gdwatch.toml; systemctl start gdwatch")

    # A second root beside it, by the template.
    machine.run("sed 's,/var/lib/gdwatch,&-studio,; s/9464/9465/' /etc/gdwatch/gdwatch.toml > "
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
    machine.run("systemctl stop 'gdwatch*'")
    machine.run("rm -rf /srv/clone /var/lib/gdwatch* /etc/gdwatch /etc/systemd/system/gdwatch*")
    clone(machine)
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


def events(machine: Machine, priority: str) -> dict[str, str]:
    """The events that the journal has of this priority and above, each with its own."""
    said = machine.run(f"journalctl -u gdwatch -p {priority} -o json").stdout
    lines = [json.loads(line) for line in said.splitlines()]
    lines = [line for line in lines if line["MESSAGE"].startswith("{")]  # not those of systemd
    return {json.loads(line["MESSAGE"])["event"]: line["PRIORITY"] for line in lines}


def look_with_prometheus(machine: Machine) -> None:
    """Let a Prometheus ask the service, as docs/metrics.md says."""
    if shutil.which("prometheus") is None:
        return
    page = (HERE / "docs" / "metrics.md").read_text()
    toml, yaml = (
        re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)[0] for kind in ("toml", "yaml")
    )
    machine.run(f"mkdir -p /etc/prometheus; echo '{toml}' >> /etc/gdwatch/gdwatch.toml\n"
                f"echo '{yaml}' > /etc/prometheus/prometheus.yml\n"
                "cp /srv/clone/deploy/prometheus-rules.yml /etc/prometheus/gdwatch-rules.yml\n"
                "systemctl restart gdwatch\n"
                "systemd-run --quiet prometheus --config.file /etc/prometheus/prometheus.yml "
                "--storage.tsdb.path /srv/prometheus")  # fmt: skip
    ask = "curl -s 'localhost:9090/api/v1/query?query=gdwatch_healthy%3D%3D1'"
    build.wait_until(lambda: '"instance":"localhost:9464"' in machine.run(ask, check=False).stdout,
                     "Prometheus knows that it is well", 150)  # fmt: skip


def clone(machine: Machine) -> None:
    """Put what git would clone to /srv/clone."""
    files = "git ls-files -co --exclude-standard"
    machine.run(f"mkdir /srv/clone; cd {HERE}; {files} | tar -c -T - | tar -x -C /srv/clone")


def status(machine: Machine) -> dict[str, object]:
    answer: dict[str, object] = json.loads(machine.run("cd /; gdwatch status --json").stdout)
    return answer


def restarts(machine: Machine) -> int:
    return int(machine.run("systemctl show -P NRestarts gdwatch").stdout)


def is_active(machine: Machine) -> bool:
    return machine.run("systemctl is-active -q gdwatch", check=False).returncode == 0
