from gdwatch.inference import model_file
from train.export.provenance import table
from train.published.weights import DLIB, MOBILENET, PUBLISHED

FAST = model_file.read(model_file.find("fast")).sha256


def part(how: str, name: str, sha256: str = "0" * 64) -> dict[str, str]:
    return {"how": how, "name": name, "sha256": sha256}


def test_published_weights_are_told_with_their_licence_and_no_number() -> None:
    for weights in PUBLISHED:
        told = table([part("start", weights.file)])
        assert told.endswith(f"| {weights.terms} |")
        assert "0000" not in told


def test_a_shipped_model_is_known_whatever_its_file_is_called() -> None:
    told = table([part("start", "copy.safetensors", FAST), part("teacher", "", FAST)])
    begun, taught = told.splitlines()[2:]
    assert begun.startswith("| `fast` of gdwatch | training began with them")
    assert taught.startswith("| `fast` of gdwatch | its answers were learnt")
    assert begun.endswith(f"| Apache-2.0; changed from `{DLIB.file}`, CC0-1.0 |")


def test_other_weights_have_the_terms_of_their_own_card() -> None:
    assert "own model card names |" in table([part("start", "mine.safetensors")])
    assert f"`{MOBILENET.file}` {MOBILENET.terms}" in table([part("teacher", "")])


def test_both_runs_of_a_fused_model_are_told_once() -> None:
    told = table([part("start", DLIB.file), part("start", MOBILENET.file), part("teacher", ""),
                  part("teacher", "")])  # fmt: skip
    assert len(told.splitlines()) == 5
    assert "no other model took part" in table([])
