import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from gdwatch.errors import ActionNeeded
from gdwatch.inference import model, model_file
from tests import build


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return build.model_file(tmp_path / "m.safetensors")


def load(path: Path) -> model.Model:
    return model.load(model_file.read(path))


def refusal(path: Path) -> str:
    """The line that an operator sees when a model is refused."""
    with pytest.raises(ActionNeeded) as caught:
        load(path)
    assert str(path) in caught.value.message or "model brightness" in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    return caught.value.message


def rewrite(path: Path, tensors: dict[str, torch.Tensor] | None = None, **changes: object) -> None:
    """Write the file again with other tensors or metadata."""
    content = path.read_bytes()
    found = tensors or safetensors.torch.load(content)
    details = {**build.details().model_dump(mode="json"), **changes}
    kept = {name: value for name, value in details.items() if value is not Ellipsis}
    path.write_bytes(safetensors.torch.save(found, {"gdwatch": json.dumps(kept)}))


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(path.read_bytes())


# ------------------------------------------------------------------------- whole files


def test_what_was_saved_is_loaded(path: Path) -> None:
    loaded = load(path)
    assert loaded.details == build.details()
    assert loaded.sha256 == build.sha256(path.read_bytes())
    assert not loaded.classifier.training
    batch = torch.randint(0, 256, (3, 3, build.SIDE, build.SIDE), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(loaded.classifier(batch), build.brightness_network()(batch))


def test_a_file_is_written_whole_or_not_at_all(path: Path) -> None:
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_model_is_found_by_its_path(path: Path) -> None:
    assert model_file.find(str(path)) == path
    with pytest.raises(ActionNeeded, match=r"model nothing: no such file"):
        model_file.find("nothing")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    assert "is a directory" in refusal(tmp_path)


# ------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize("left", [0, 1, 8, 100, -1, -100])
def test_a_truncated_file_is_refused(path: Path, left: int) -> None:
    path.write_bytes(path.read_bytes()[:left])
    assert "not a whole safetensors file" in refusal(path)


def test_a_file_with_more_behind_it_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")
    assert "not a whole safetensors file" in refusal(path)


def test_a_header_of_absurd_length_is_refused(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**62) + path.read_bytes()[8:])
    assert "not a whole safetensors file" in refusal(path)


def test_a_pickle_is_refused_and_never_unpickled(path: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    path.write_bytes(pickle.dumps(Trap()))
    assert "not a whole safetensors file" in refusal(path)
    torch.save({"trap": Trap()}, path)
    assert "not a whole safetensors file" in refusal(path)
    assert not (tmp_path / "sprung").exists()


def test_a_file_too_large_is_refused_unread(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "MAX_BYTES", 100)
    assert "more than 100" in refusal(path)


# ------------------------------------------------------------------------- metadata


def test_tensors_of_another_program_are_refused(path: Path) -> None:
    path.write_bytes(safetensors.torch.save({"x": torch.zeros(1)}))
    assert "not a model of gdwatch" in refusal(path)
    path.write_bytes(safetensors.torch.save({"x": torch.zeros(1)}, {"gdwatch": "{"}))
    assert "is no JSON" in refusal(path)
    path.write_bytes(safetensors.torch.save({"x": torch.zeros(1)}, {"gdwatch": "[]"}))
    assert "model format None" in refusal(path)


@pytest.mark.parametrize("format_", [0, 3, "1", None])
def test_another_format_is_refused(path: Path, format_: object) -> None:
    rewrite(path, format=format_)
    assert f"model format {format_}, this gdwatch reads 1 and 2" in refusal(path)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"temperature": 0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"min_confidence": 0.4}, "min_confidence"),
        ({"classes": ["male", "female"]}, "classes.0"),
        ({"name": "two words"}, "name"),
        ({"name": ...}, "name"),
        ({"surprise": 1}, "surprise"),
        ({"classifier": {"arch": "residual", "arguments": {}, "input": 8}}, "classifier.input"),
        ({"preprocessing": {"mean": [0.0, 0.0], "std": [1, 1, 1]}}, "preprocessing.mean.2"),
        ({"preprocessing": {"mean": [0, 0, 0], "std": [1, 0, 1]}}, "preprocessing.std.1"),
        ({"preprocessing": {"mean": [0, 0, 0], "std": [1, 1, 1], "colour": "BGR"}},
         "preprocessing.colour"),
    ],
)  # fmt: skip
def test_metadata_that_cannot_be_are_refused_by_name(
    path: Path, change: dict[str, object], where: str
) -> None:
    rewrite(path, **change)
    assert f"metadata {where}: " in refusal(path)


@pytest.mark.parametrize(
    "classifier",
    [
        {"arch": "transformer", "arguments": {}, "input": 32},
        {"arch": "residual", "arguments": {"depth": 9}, "input": 32},
        {"arch": "residual", "arguments": {"stem": -4, "widths": [8], "blocks": [1]}, "input": 32},
        {"arch": "residual", "arguments": {"stem": 4, "widths": [8], "blocks": []}, "input": 32},
        {"arch": "residual", "arguments": {"stem": "4", "widths": [8], "blocks": [1]}, "input": 32},
        {"arch": "residual", "arguments": {"stem": 4, "widths": 8, "blocks": [1]}, "input": 32},
    ],
)
def test_an_architecture_that_cannot_be_built_is_refused(
    path: Path, classifier: dict[str, object]
) -> None:
    rewrite(path, classifier=classifier)
    message = refusal(path)
    assert "unknown architecture" in message or "cannot be built" in message


def test_an_architecture_of_absurd_size_is_refused_without_memory(path: Path) -> None:
    arguments = {"stem": 100_000, "widths": [100_000], "blocks": [1]}
    rewrite(path, classifier={"arch": "residual", "arguments": arguments, "input": 32})
    assert "has shape" in refusal(path)


# ------------------------------------------------------------------------- ranges


def shipped_with(tmp_path: Path, change: Callable[[dict[str, float]], None]) -> Path:
    """The model in the package, with other ranges for the classifier."""
    content = model_file.find("fast").read_bytes()
    details = model_file.read(model_file.find("fast")).details.model_dump(mode="json")
    change(details["classifier"]["ranges"])
    path = tmp_path / "changed.safetensors"
    path.write_bytes(
        safetensors.torch.save(safetensors.torch.load(content), {"gdwatch": json.dumps(details)})
    )
    return path


def test_a_range_that_is_missing_or_too_many_is_named(tmp_path: Path) -> None:
    def lacks_one(ranges: dict[str, float]) -> None:
        del ranges["stem"]

    def has_another(ranges: dict[str, float]) -> None:
        ranges["surprise"] = 1.0

    for change, what in (
        (lacks_one, "range classifier.stem is missing"),
        (has_another, "range classifier.surprise does not belong there"),
    ):
        with pytest.raises(ActionNeeded, match=what):
            load(shipped_with(tmp_path, change))
    assert load(shipped_with(tmp_path, lambda _: None)).is_ranged


def test_a_range_is_a_positive_number(tmp_path: Path) -> None:
    for value in (0, -1, "wide", None):
        path = shipped_with(tmp_path, lambda ranges, value=value: ranges.update(stem=value))
        with pytest.raises(ActionNeeded, match=r"metadata classifier\.ranges\.stem: "):
            load(path)


def test_a_network_that_cannot_be_quantised_has_no_ranges(path: Path) -> None:
    classifier = build.details().classifier.model_copy(update={"ranges": {"head": 1.0}})
    rewrite(path, classifier=classifier.model_dump())
    assert "range classifier.head does not belong there" in refusal(path)
    rewrite(path, classifier={**classifier.model_dump(), "ranges": {}})
    assert "metadata classifier.ranges: " in refusal(path)


# ------------------------------------------------------------------------- tensors


def test_a_missing_tensor_is_named(path: Path) -> None:
    tensors = tensors_of(path)
    del tensors["classifier.head.bias"]
    rewrite(path, tensors)
    assert "tensor classifier.head.bias is missing" in refusal(path)


def test_a_tensor_too_many_is_named(path: Path) -> None:
    rewrite(path, {**tensors_of(path), "classifier.more": torch.zeros(1)})
    assert "tensor classifier.more does not belong there" in refusal(path)


def test_a_tensor_of_another_shape_is_named(path: Path) -> None:
    rewrite(path, {**tensors_of(path), "classifier.head.weight": torch.zeros(1, 9)})
    assert "tensor classifier.head.weight has shape (1, 9), expected (1, 8)" in refusal(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_named(path: Path, value: float) -> None:
    tensors = tensors_of(path)
    tensors["classifier.head.bias"][0] = value
    rewrite(path, tensors)
    assert "tensor classifier.head.bias holds values that are not finite" in refusal(path)


def test_a_tensor_of_another_type_is_named(path: Path) -> None:
    rewrite(path, {**tensors_of(path), "classifier.head.bias": torch.zeros(1).double()})
    assert "tensor classifier.head.bias is F64, not F32, F16 or I8" in refusal(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000])
def test_metadata_that_python_cannot_read_are_refused(path: Path, text: str) -> None:
    path.write_bytes(safetensors.torch.save(tensors_of(path), {"gdwatch": text}))
    assert "is no JSON" in refusal(path)


def test_a_measure_that_is_no_number_is_null_as_databases_want_it(path: Path) -> None:
    rewrite(path, measures={"roc_auc": float("nan")})
    assert load(path).details.measures == {"roc_auc": None}
