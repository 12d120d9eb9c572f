from pathlib import Path

import pytest

from gdwatch.errors import UsageError
from gdwatch.inference import model_file
from train.fitting.named_model import open_model


def test_a_shipped_model_is_opened_by_its_name_and_a_file_by_its_path() -> None:
    assert open_model(Path("fast")).details.name == "fast"
    path = model_file.PACKAGED / "accurate.safetensors"
    assert open_model(path).sha256 == open_model(Path("accurate")).sha256


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("auto", "auto: several models; name one: fast or accurate"),
        ("fats", "model fats: no such file; name a model file, or one of accurate, fast, whole"),
    ],
)
def test_what_is_no_model_is_named_with_those_that_are(named: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_model(Path(named))
    assert str(refused.value) == told
