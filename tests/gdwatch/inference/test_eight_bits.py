from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gdwatch.errors import ActionNeeded
from gdwatch.inference import eight_bits, model, model_file
from gdwatch.inference.model import Model
from gdwatch.networks.quantised import MAX_WEIGHT, Quantised
from tests import build


@given(st.integers(0, 10_000), st.floats(1e-4, 100))
def test_a_weight_is_wrong_by_half_a_step_at_most(seed: int, largest: float) -> None:
    weights = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(seed)) * largest
    found = eight_bits.floats(eight_bits.stored({"w": weights}))["w"]
    step = weights.abs().amax((1, 2, 3), keepdim=True) / MAX_WEIGHT
    assert ((found - weights).abs() <= step * 0.501).all()


def test_what_is_stored_is_what_a_processor_computes_with() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(8, 4, 3)
    computed = Quantised(convolution, relu=True, largest=1.0)._weight.clone()
    kept = eight_bits.stored({"w": convolution.weight.detach()})["w"]
    assert torch.equal(kept, computed)
    read = nn.Conv2d(8, 4, 3)
    read.load_state_dict(
        {"weight": eight_bits.floats(eight_bits.stored({"w": convolution.weight.detach()}))["w"],
         "bias": convolution.bias.detach()}
    )  # fmt: skip
    assert torch.equal(Quantised(read, relu=True, largest=1.0)._weight, computed)


def test_a_file_of_eight_bits_is_small_and_answers_alike(tmp_path: Path) -> None:
    network = build.network()
    whole, small = tmp_path / "whole.safetensors", tmp_path / "small.safetensors"
    made = Model(None, network, build.details(), "")
    model.save(whole, made)
    model.save(small, made, torch.int8)
    photos = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (4, 3, build.SIDE, build.SIDE), dtype=np.uint8)
    )
    answers = [model.load(model_file.read(each)).classifier(photos) for each in (whole, small)]
    assert torch.allclose(*answers, atol=0.05)
    kept = safetensors.torch.load_file(small)
    assert kept["classifier.features.0.0.weight"].dtype is torch.int8


def test_a_tensor_without_its_scales_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model.save(path, Model(None, build.network(), build.details(), ""), torch.int8)
    header = path.read_bytes()
    tensors = safetensors.torch.load(header)
    del tensors["classifier.features.0.0.weight.scale"]
    path.write_bytes(safetensors.torch.save(tensors))
    with pytest.raises(ActionNeeded, match=r"is I8, but there is no .*\.scale"):
        model_file.read(path)
