"""The files for a system: units and drop-ins checked by systemd's own tools, the settings file."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gdwatch import settings
from gdwatch.settings import Settings

DEPLOY = Path(__file__).parent.parent / "deploy"
UNIT = DEPLOY / "gdwatch.service"
TEMPLATE = DEPLOY / "gdwatch@.service"
DROP_INS = sorted((DEPLOY / "gdwatch.service.d").iterdir())

systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def analyze(*words):
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


def of_this_machine(text):
    """A unit whose program and user are there: systemd looks for them."""
    text = text.replace("/opt/gdwatch/bin/gdwatch", "/bin/true")
    return text.replace("User=gdwatch", "User=root").replace("Group=gdwatch", "Group=root")


@systemd
@pytest.mark.parametrize("drop_in", [None, *DROP_INS], ids=lambda file: file and file.name)
def test_the_unit_is_valid_with_every_drop_in(tmp_path, drop_in):
    unit = tmp_path / UNIT.name
    unit.write_text(of_this_machine(UNIT.read_text()))
    if drop_in is not None:
        beside = tmp_path / f"{UNIT.name}.d"
        beside.mkdir()
        (beside / drop_in.name).write_text(of_this_machine(drop_in.read_text()))
    done = analyze("verify", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@systemd
def test_the_unit_for_several_roots_is_valid(tmp_path):
    unit = tmp_path / "gdwatch@studio.service"
    unit.write_text(of_this_machine(TEMPLATE.read_text()))
    done = analyze("verify", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_for_several_roots_differs_in_its_names_alone():
    def settings_in(file):
        lines = file.read_text().splitlines()
        return [line for line in lines if not line.startswith("#")]

    names = {
        "gdwatch.toml": "%i.toml",
        "lib/gdwatch": "lib/gdwatch-%i",
        "StateDirectory=gdwatch": "StateDirectory=gdwatch-%i",
        "faces": "faces (%i)",
    }
    expected = []
    for line in settings_in(UNIT):
        for one, several in names.items():
            line = re.sub(rf"{re.escape(one)}$", several, line)
        expected.append(line)
    assert settings_in(TEMPLATE) == expected


@systemd
@pytest.mark.parametrize("unit", [UNIT, TEMPLATE], ids=lambda file: file.name)
def test_the_units_expose_little(unit):
    done = analyze("security", "--offline=true", "--threshold=25", str(unit))
    assert done.returncode == 0, done.stdout


@systemd
def test_the_unit_exposes_little_with_a_group_that_drops(tmp_path):
    lines = (DEPLOY / "gdwatch.service.d" / "group.conf").read_text().split("[Service]\n")[1]
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("[Install]", f"{lines}\n[Install]"))
    done = analyze("security", "--offline=true", "--threshold=25", str(unit))
    assert done.returncode == 0, done.stdout


def test_the_settings_file_has_every_setting_with_its_default():
    text = (DEPLOY / "gdwatch.toml").read_text()
    assert tomllib.loads(text) == {"root": "/var/lib/gdwatch"}
    told = tomllib.loads(re.sub(r"^#(\w+ = | {4})", r"\1", text, flags=re.MULTILINE))
    assert list(told) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        if name != "root" and field.default is not None:
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            assert told[name] == default, name
        description = re.escape(field.description).replace("\\ ", r"\s+(?:# )?")
        assert name == "root" or re.search(description, text), name


def test_the_settings_file_is_accepted_with_all_that_it_shows(tmp_path):
    text = (DEPLOY / "gdwatch.toml").read_text()
    file = tmp_path / "gdwatch.toml"
    file.write_text(re.sub(r"^#(\w+ = | {4})", r"\1", text, flags=re.MULTILINE))
    assert settings.load({}, file).settings.root == Path("/var/lib/gdwatch")


def test_the_shell_scripts_have_no_known_mistakes():
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    scripts = sorted((*DEPLOY.glob("*.sh"), *(DEPLOY / "debian").iterdir()))
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_container_file_has_no_known_mistakes():
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent)
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, DEPLOY / "Containerfile"], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", sorted(DEPLOY.glob("compose*.yaml")), ids=lambda file: file.name)
def test_the_compose_files_are_of_the_compose_specification(file):
    compose = pytest.importorskip("compose_pydantic", reason="compose-pydantic is not installed")
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    text = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", file.read_text())  # as without variables
    read = compose.ComposeSpecification.model_validate(yaml.safe_load(text))
    assert read.services["gdwatch"].mem_limit
    with pytest.raises(ValueError, match="mem_limits"):
        compose.ComposeSpecification.model_validate(
            yaml.safe_load(text.replace("mem_limit", "mem_limits"))
        )


def test_the_container_is_built_from_all_that_the_package_is_built_from():
    copied = set()
    for line in (DEPLOY / "Containerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied |= set(line.split()[1:-1])
    built = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
    wheel = built["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], "README.md", "LICENSE", "pyproject.toml"}
    assert copied == needed | {"constraints.txt"}
    let_in = (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in let_in if line.startswith("!")} == copied


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [(["--sudo"], 2, "usage: "), (["--group"], 2, "--group: no value"), (["--help"], 0, "usage: ")],
)
def test_the_installer_says_what_is_wrong_with_its_options(words, status, told):
    done = subprocess.run(
        [DEPLOY / "install.sh", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert told in done.stdout + done.stderr
