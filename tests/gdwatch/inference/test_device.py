from pathlib import Path

import pytest
import torch

from gdwatch.inference.device import fastest
from gdwatch.networks import quantised

CPU = torch.device("cpu")


def test_the_processor_tells_whether_it_is_fast_in_half_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "cpuinfo"
    monkeypatch.setattr("gdwatch.inference.device._CPUINFO", told)
    monkeypatch.setattr("gdwatch.inference.device.computes_in", lambda _: True)
    told.write_text("processor: 0\nflags\t\t: fpu avx2 avx512_bf16\n")
    assert fastest(CPU) is torch.bfloat16
    told.write_text("processor: 0\nflags\t\t: fpu avx2 avx512_bf\n")
    assert fastest(CPU) is torch.float32
    told.write_text("Features: fp asimd\n")
    assert fastest(CPU) is torch.float32
    assert fastest(torch.device("cuda")) is torch.float16


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_model_that_knows_its_ranges_computes_in_bytes_where_they_are_fast(
    *, is_fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantised, "is_fast", lambda: is_fast)
    assert (fastest(CPU, is_ranged=True) is torch.uint8) == is_fast
    assert fastest(CPU, is_ranged=False) is not torch.uint8
    assert fastest(torch.device("cuda"), is_ranged=True) is torch.float16
