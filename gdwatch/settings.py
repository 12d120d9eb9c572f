"""The settings, and the sources they come from, in order of precedence."""

import difflib
import json
import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from gdwatch.errors import ActionNeeded

PREFIX = "GDWATCH_"
CONFIG_VARIABLE = "GDWATCH_CONFIG"
# Kubernetes sets these in every pod for each Service whose name begins with `gdwatch`: the host and
# ports, and addresses in the form that Docker links had.
_OF_A_SERVICE = re.compile(
    r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR))=.*"
    r"|(\w+_)?PORT(_\d+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://.*"
)
CONFIG_FILES = (Path("gdwatch.toml"), Path("/etc/gdwatch/gdwatch.toml"))
MIB = 1024 * 1024

IGNORED = (
    ".*", "~*", "*.part", "*.tmp", "*.crdownload", "*.partial", "*.filepart",
    "*.download", "*.opdownload", "*.aria2", "*.!qB", "*.!ut",
    "Thumbs.db", "desktop.ini", "@eaDir", "@Recycle", "#recycle", "#snapshot", "$RECYCLE.BIN",
    "System Volume Information",
)  # fmt: skip


def _patterns(value: object) -> object:
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.startswith("[") else value.split(",")


def _words(value: object) -> object:
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.startswith("[") else shlex.split(value)


Auto = Literal["auto"]
Command = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Patterns = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_patterns)]
Milliseconds = Annotated[int, Field(ge=0, le=3_600_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(BaseSettings):
    """Every setting: name, type, default and description; docs/operate.md lists them."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    root: Path = Field(Path("gdwatch-data"), description="the folder that holds all the others")
    inbox: Path | None = Field(None, description="where people drop photographs (`ROOT/inbox`)")
    female: Path | None = Field(None, description="answer folder (`ROOT/female`)")
    male: Path | None = Field(None, description="answer folder (`ROOT/male`)")
    unsure: Path | None = Field(
        None, description="for what the program would rather not say (`ROOT/unsure`)"
    )
    rejected: Path | None = Field(
        None, description="for what is not a photograph that it can read (`ROOT/rejected`)"
    )
    database: str | None = Field(
        None, description="SQLAlchemy URL of SQLite or PostgreSQL (`sqlite:///ROOT/results.db`)"
    )
    model: str = Field(
        "auto",
        description="`auto`: `fast`, and `accurate` for what `fast` is not sure of; or one of "
        "them; or a `.safetensors` file",
    )
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = Field(
        "auto", description="`cpu`, `cuda`, `cuda:1`; `auto` takes a GPU where there is one"
    )
    workers: Auto | Annotated[int, Field(ge=1, le=256)] = Field(
        "auto", description="worker processes that read and decode; `auto`: one a core"
    )
    batch_size: Auto | Annotated[int, Field(ge=1, le=512)] = Field(
        "auto",
        description="photographs judged together at most (`gdwatch doctor` says how many fit); "
        "`auto`: 32 on a CPU, 128 on a card",
    )
    batch_wait_ms: Milliseconds = Field(
        20,
        description="how long a photograph may wait for company; while others are judged, "
        "until a batch is full",
    )
    min_confidence: Annotated[float, Field(ge=0.5, le=1)] | None = Field(
        None, description="below it the answer is `unsure` (the model's own)"
    )
    crop: Literal["face", "whole"] = Field(
        "face", description="`whole` squeezes the whole picture, as a model without a locator does"
    )
    several_faces: Literal["dominant", "agree", "unsure"] = Field(
        "dominant", description="what counts where several faces are found"
    )
    min_face: Annotated[float, Field(ge=0)] = Field(
        20, description="a face whose longer side has fewer pixels is `unsure`, `small_face`"
    )
    min_sharpness: Annotated[float, Field(ge=0)] = Field(
        0, description="a face less sharp (variance of the Laplacian) is `unsure`, `blurred`"
    )
    bodies: bool = Field(
        default=False,
        description="whether a person whose face is not seen is judged by what else is seen; for "
        "models that have `min_confidence_bodies`, which the shipped ones have not",
    )
    settle_ms: Milliseconds = Field(
        1000, description="a file must look the same in two looks this far apart"
    )
    watch: Literal["auto", "events", "poll"] = Field(
        "auto", description="how new files are noticed; `auto` polls on network file systems"
    )
    rescan_s: Seconds = Field(30, description="the inbox is listed at least this often")
    layout: Literal["tree", "date"] = Field(
        "tree", description="`tree` keeps the path below the inbox, `date` sorts by day (UTC)"
    )
    mode: Literal["move", "copy", "link"] = Field(
        "move",
        description="`copy` and `link` (hard link) leave the photographs in the inbox, and none is "
        "taken again until it has changed",
    )
    duplicates: Literal["keep", "reject"] = Field(
        "keep", description="`reject` sends bytes that this root has filed before to `rejected/`"
    )
    hand_moves: Literal["correct", "follow", "ignore"] = Field(
        "correct",
        description="a file moved by hand to another answer folder: `correct` takes that for a "
        "person's word, `follow` only notes where it lies, `ignore` takes it for missing",
    )
    max_bytes: Annotated[int, Field(ge=1)] = Field(
        64 * MIB, description="a larger file is rejected unread"
    )
    max_pixels: Annotated[int, Field(ge=1)] = Field(
        64_000_000, description="a larger picture is rejected before it is decoded"
    )
    decode_timeout_s: Seconds = Field(20, description="how long one picture may take to decode")
    worker_memory_mb: Annotated[int, Field(ge=256)] = Field(
        1024, description="address space of a worker process"
    )
    min_free_mb: Annotated[int, Field(ge=0)] = Field(
        100, description="with less free disk space the service waits"
    )
    ui_host: str = Field(
        "127.0.0.1",
        description="address of the page that `gdwatch ui` serves; any but the loopback address "
        "needs `ui_tokens` or `ui_user_header`",
    )
    ui_port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        None,
        description="port of the page (8477); where it is set, `gdwatch run` serves the page, too",
    )
    ui_names: Patterns = Field(
        (), description="host names under which browsers ask for the page, beside `ui_host`"
    )
    ui_tokens: Path | None = Field(
        None, description="file with a line `NAME TOKEN` for each person who may sign in"
    )
    ui_user_header: str | None = Field(
        None, description="header in which a proxy names the user, as `X-Remote-User`"
    )
    ui_proxies: Patterns = Field(
        ("127.0.0.1", "::1"), description="addresses of the proxy that names the user"
    )
    ignore: Patterns = Field(
        IGNORED,
        description="glob patterns of names that are left alone in the inbox, in capitals or not",
    )
    on_rejected: Command = Field((), description="command that is started when files were rejected")
    on_unsure: Command = Field((), description="command that is started when files are unsure")
    on_paused: Command = Field((), description="command that is started when the service pauses")
    daily: Command = Field(
        (), description="command that is started once a day, at the first moment of a new one"
    )
    hook_timeout_s: Seconds = Field(
        60, description="how long such a command may run before it is ended"
    )
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] | None = Field(
        None,
        description="port of `/metrics`, for Prometheus, and `/healthz`; without one neither is "
        "served; `0`: a free one, which the log names",
    )
    metrics_host: str = Field(
        "127.0.0.1", description="address of this machine where metrics are served"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least that is logged"
    )
    log_format: Literal["auto", "human", "json"] = Field(
        "auto", description="`auto`: human on a terminal, JSON elsewhere"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use the given values only: `load` merges the sources and records each value's origin."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force.

    origins: by name, the source that gave each value.
    ignored: environment variables that only look like settings.
    """

    settings: Settings
    origins: Mapping[str, str]
    ignored: tuple[str, ...]


def load(given: Mapping[str, str], config: Path | None) -> Loaded:
    """Merge command line, environment, settings file and defaults, in this order of precedence.

    given: names and values from the command line.
    config: the file named by `--config`; None looks in GDWATCH_CONFIG and CONFIG_FILES.

    Raises ActionNeeded for an unknown name, a bad value or a missing file.
    """
    environment, ignored = _environment()
    layers: list[tuple[str, Mapping[str, Any]]] = [
        ("command line", given),
        ("environment", environment),
    ]
    file = _config_file(config)
    if file is not None:
        layers.append((str(file), _read(file)))
    merged: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    for origin, values in reversed(layers):
        for name, value in values.items():
            _must_be_known(name, origin)
            merged[name] = value
            origins[name] = origin
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        why = [each["msg"].lower() for each in error.errors() if each["loc"][0] == name]
        raise ActionNeeded(
            f"setting {name} = {merged[name]!r} ({origins[name]}): {' or '.join(why)}",
            f"{name}: {Settings.model_fields[name].description}",
        ) from error
    _require_working_folder(settings)
    return Loaded(settings, origins, ignored)


def _require_working_folder(settings: Settings) -> None:
    try:
        Path.cwd()
    except OSError as error:
        if not settings.root.is_absolute():
            raise ActionNeeded(
                f"root {settings.root}: the working folder is not there any more",
                "change to another folder, or give --root DIR from / on",
            ) from error


def _environment() -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return the values in the environment, and the variables that are not meant for gdwatch."""
    ignored = []
    for variable, value in os.environ.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix(PREFIX)
        if _OF_A_SERVICE.fullmatch(f"{name}={value}"):
            ignored.append(variable)
        else:
            _must_be_known(name.lower(), "environment")
    return EnvSettingsSource(Settings)(), tuple(sorted(ignored))


def _config_file(config: Path | None) -> Path | None:
    named = config or (Path(os.environ[CONFIG_VARIABLE]) if CONFIG_VARIABLE in os.environ else None)
    if named is not None:
        if not _is_file(named):
            raise ActionNeeded(
                f"settings file {named}: no such file", "name one with --config, or leave it away"
            )
        return named
    return next((file for file in CONFIG_FILES if _is_file(file)), None)


def _is_file(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except PermissionError as error:
        # A user's working folder may be closed to the user of the service: nothing there is meant
        # for it. But without the settings of the whole machine it would use another root.
        if not file.is_absolute() and file in CONFIG_FILES:
            return False
        raise _unreadable(file, error) from error
    except (OSError, ValueError):  # not there, or no possible name
        return False


def _read(file: Path) -> Mapping[str, Any]:
    try:
        return TomlConfigSettingsSource(Settings, file)()
    except OSError as error:
        raise _unreadable(file, error) from error
    except ValueError as error:  # TOMLDecodeError is one
        raise ActionNeeded(f"settings file {file}: {error}", "mend the file") from error


def _unreadable(file: Path, error: OSError) -> ActionNeeded:
    why = (error.strerror or str(error)).lower()
    return ActionNeeded(f"settings file {file}: {why}", "let this user read it")


def _must_be_known(name: str, origin: str) -> None:
    if name in Settings.model_fields:
        return
    near = difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=0.0)
    raise ActionNeeded(f"unknown setting {name} ({origin})", f"did you mean {near[0]}?")
