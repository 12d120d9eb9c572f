"""A model that a command was given: a file, or a shipped one by its name."""

from pathlib import Path

from gdwatch.errors import UsageError
from gdwatch.inference import model, model_file
from gdwatch.inference.model import Model


def open_model(named: Path) -> Model:
    """Open a model file, or a shipped model by its name. Raises GdwatchError."""
    cascade = model_file.CASCADES.get(str(named))
    if cascade is not None:
        raise UsageError(f"{named}: several models", f"name one: {' or '.join(cascade)}")
    shipped = model_file.PACKAGED / f"{named.name}.safetensors"
    is_name = str(named) == named.name and shipped.is_file()
    if not is_name and not named.is_file():
        names = ", ".join(sorted(path.stem for path in model_file.PACKAGED.glob("*.safetensors")))
        raise UsageError(f"model {named}: no such file", f"name a model file, or one of {names}")
    return model.load(model_file.read(shipped if is_name else named))
