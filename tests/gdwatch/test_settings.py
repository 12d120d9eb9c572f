import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gdwatch import settings
from gdwatch.errors import ActionNeeded


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings of the developer: an empty working folder and environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "CONFIG_FILES", (Path("gdwatch.toml"),))
    for name in [*settings.os.environ]:
        if name.startswith("GDWATCH_"):
            monkeypatch.delenv(name)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_command_line_outweighs_the_environment_the_file_and_the_default(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(given: dict[str, str]) -> tuple[int, str]:
        loaded = settings.load(given, None)
        return loaded.settings.settle_ms, loaded.origins["settle_ms"]

    assert found({}) == (1000, "default")
    write(alone / "gdwatch.toml", "settle_ms = 2")
    assert found({}) == (2, "gdwatch.toml")
    monkeypatch.setenv("GDWATCH_SETTLE_MS", "3")
    assert found({}) == (3, "environment")
    assert found({"settle_ms": "4"}) == (4, "command line")


def test_the_named_file_outweighs_the_one_in_the_working_folder(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(alone / "gdwatch.toml", "settle_ms = 1")
    variable = write(alone / "variable.toml", "settle_ms = 2")
    option = write(alone / "option.toml", "settle_ms = 3")
    monkeypatch.setenv("GDWATCH_CONFIG", str(variable))
    assert settings.load({}, None).settings.settle_ms == 2
    assert settings.load({}, option).settings.settle_ms == 3
    assert settings.load({}, option).origins["settle_ms"] == str(option)


def test_a_named_file_must_be_there(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ActionNeeded, match=r"settings file none\.toml: no such file"):
        settings.load({}, Path("none.toml"))
    monkeypatch.setenv("GDWATCH_CONFIG", "other.toml")
    with pytest.raises(ActionNeeded, match=r"settings file other\.toml: no such file"):
        settings.load({}, None)


@pytest.fixture
def nobody(alone: Path) -> Iterator[Path]:
    """Run as a user who may enter no folder of mode 700 below the one that is returned."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    os.seteuid(65534)
    try:
        yield alone
    finally:
        os.seteuid(0)


def closed(folder: Path) -> Path:
    """A folder of root's with a settings file, which nobody else may look into."""
    os.seteuid(0)
    folder.mkdir(mode=0o700)
    write(folder / "gdwatch.toml", "settle_ms = 1")
    os.seteuid(65534)
    return folder


def test_a_working_folder_that_cannot_be_looked_into_has_no_settings_file(
    nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = closed(nobody / "closed")
    monkeypatch.setattr(settings, "CONFIG_FILES", (Path("gdwatch.toml"), Path("/etc/none.toml")))
    os.seteuid(0)
    os.chdir(folder)
    os.seteuid(65534)
    assert settings.load({}, None).origins["settle_ms"] == "default"


def test_a_settings_file_that_cannot_be_looked_at_is_one_line(
    nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.seteuid(0)
    for folder in (nobody, *nobody.parents):  # as pytest makes its own
        if folder.stat().st_mode & 0o777 == 0o700:
            folder.chmod(0o755)
    file = closed(nobody / "closed") / "gdwatch.toml"
    with pytest.raises(ActionNeeded, match=f"settings file {file}: permission denied"):
        settings.load({}, file)
    # Settings for the whole machine are not left out: another root would be used.
    monkeypatch.setattr(settings, "CONFIG_FILES", (Path("gdwatch.toml"), file))
    with pytest.raises(ActionNeeded, match=f"settings file {file}: permission denied"):
        settings.load({}, None)
    os.seteuid(0)
    file.parent.chmod(0o755)
    file.chmod(0o600)
    os.seteuid(65534)
    with pytest.raises(ActionNeeded, match=f"settings file {file}: permission denied"):
        settings.load({}, None)


def test_a_working_folder_that_was_removed_is_one_line_where_the_root_lies_in_it(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = alone / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ActionNeeded, match="root gdwatch-data: the working folder is not there"):
        settings.load({}, None)
    assert settings.load({"root": str(alone)}, None).settings.root == alone


def test_an_unknown_name_is_an_error_that_says_where_and_names_the_nearest(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ActionNeeded) as caught:
        settings.load({"min_confidnce": "0.9"}, None)
    assert str(caught.value) == (
        "unknown setting min_confidnce (command line); did you mean min_confidence?"
    )
    with monkeypatch.context() as patched:
        patched.setenv("GDWATCH_MAXBYTES", "1")
        with pytest.raises(ActionNeeded) as caught:
            settings.load({}, None)
    assert str(caught.value) == "unknown setting maxbytes (environment); did you mean max_bytes?"
    write(alone / "gdwatch.toml", "rescan = 5")
    with pytest.raises(ActionNeeded) as caught:
        settings.load({}, None)
    assert str(caught.value) == "unknown setting rescan (gdwatch.toml); did you mean rescan_s?"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_confidence", "0.4"),
        ("min_confidence", "nan"),
        ("batch_size", "0"),
        ("batch_size", "many"),
        ("workers", "-1"),
        ("settle_ms", "-1"),
        ("rescan_s", "0"),
        ("layout", "flat"),
        ("duplicates", "drop"),
        ("device", "tpu"),
        ("watch", "yes"),
        ("max_bytes", "1.5"),
        ("ignore", "[1, 2"),
        ("log_level", "loud"),
    ],
)
def test_a_bad_value_is_named_with_its_setting_and_origin(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ActionNeeded) as caught:
        settings.load({name: value}, None)
    assert f"setting {name} = {value!r} (command line): " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.status == 78
    monkeypatch.setenv(f"GDWATCH_{name.upper()}", value)
    with pytest.raises(ActionNeeded) as caught:
        settings.load({}, None)
    assert f"setting {name} = {value!r} (environment): " in str(caught.value)


def test_a_broken_file_is_named_with_the_place(alone: Path) -> None:
    write(alone / "gdwatch.toml", "settle_ms = = 5")
    with pytest.raises(ActionNeeded, match=r"settings file gdwatch\.toml: .*line 1"):
        settings.load({}, None)
    (alone / "gdwatch.toml").write_bytes(b"root = '\xff'")
    with pytest.raises(ActionNeeded, match=r"settings file gdwatch\.toml: "):
        settings.load({}, None)


def test_patterns_are_a_list_everywhere(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ".*" in settings.load({}, None).settings.ignore
    assert settings.load({"ignore": "*.raw,*.txt"}, None).settings.ignore == ("*.raw", "*.txt")
    assert settings.load({"ignore": '["a,b"]'}, None).settings.ignore == ("a,b",)
    write(alone / "gdwatch.toml", 'ignore = ["*.raw"]')
    assert settings.load({}, None).settings.ignore == ("*.raw",)
    monkeypatch.setenv("GDWATCH_IGNORE", "*.x")
    assert settings.load({}, None).settings.ignore == ("*.x",)


KUBERNETES = {
    "GDWATCH_SERVICE_HOST": "10.96.0.17",
    "GDWATCH_SERVICE_PORT": "80",
    "GDWATCH_SERVICE_PORT_HTTP": "80",
    "GDWATCH_PORT": "tcp://10.96.0.17:80",
    "GDWATCH_PORT_80_TCP": "tcp://10.96.0.17:80",
    "GDWATCH_PORT_80_TCP_PROTO": "tcp",
    "GDWATCH_PORT_80_TCP_PORT": "80",
    "GDWATCH_PORT_80_TCP_ADDR": "10.96.0.17",
    "GDWATCH_PAGES_SERVICE_HOST": "10.96.0.18",
    "GDWATCH_PAGES_PORT_9000_UDP": "udp://10.96.0.18:9000",
}


def test_what_kubernetes_sets_for_a_service_of_this_name_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in KUBERNETES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GDWATCH_SETTLE_MS", "5")
    found = settings.load({}, None)
    assert found.ignored == tuple(sorted(KUBERNETES))
    assert found.settings.settle_ms == 5


@pytest.mark.parametrize("name", ["PORT", "OTHER_PORT", "HOST", "SERVICE", "SERVICE_HOSTS"])
def test_what_only_resembles_that_is_an_unknown_setting(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"GDWATCH_{name}", "80")
    with pytest.raises(ActionNeeded, match=f"unknown setting {name.lower()}"):
        settings.load({}, None)


def test_every_setting_has_one_sentence() -> None:
    for name, field in settings.Settings.model_fields.items():
        assert field.description, name
        assert "\n" not in field.description


def test_all_values_of_the_file_are_of_their_types(alone: Path) -> None:
    write(alone / "gdwatch.toml", 'root = "/srv/x"\nmin_confidence = 0.8\nworkers = 3\n')
    found = settings.load({}, None).settings
    assert (found.root, found.min_confidence, found.workers) == (Path("/srv/x"), 0.8, 3)
    assert settings.load({"workers": "auto"}, None).settings.workers == "auto"
