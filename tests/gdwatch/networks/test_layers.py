"""The operations between convolutions give the same on 8-bit integers as on floats."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gdwatch.networks.fused import Fused
from gdwatch.networks.layers import (
    Bytes,
    Layer,
    averaged,
    halved,
    layers,
    padded,
    pixels,
    pooled,
    replace,
)

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(3, 12), st.integers(3, 12))


@st.composite
def numbers(draw: st.DrawFn) -> Bytes:
    made = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    values = torch.randint(0, 256, draw(SHAPES), dtype=torch.uint8, generator=made)
    scale, zero = draw(st.floats(1e-3, 10)), draw(st.sampled_from([0, 128]))
    return Bytes(values.contiguous(memory_format=torch.channels_last), scale, zero)


def floats(x: Bytes) -> Tensor:
    return (x.values.float() - x.zero) * x.scale


@given(numbers())
@settings(deadline=None)
def test_the_largest_of_bytes_are_the_largest_of_the_floats(x: Bytes) -> None:
    torch.testing.assert_close(floats(pooled(x)), pooled(floats(x)))
    assert pooled(x).values.is_contiguous(memory_format=torch.channels_last)


@given(numbers())
@settings(deadline=None)
def test_means_of_bytes_are_right_to_half_a_step(x: Bytes) -> None:
    wanted = halved(floats(x))
    assert isinstance(wanted, Tensor)
    assert ((floats(halved(x)) - wanted).abs() <= 0.5001 * x.scale).all()
    torch.testing.assert_close(averaged(x), averaged(floats(x)), atol=1e-3 * x.scale, rtol=1e-4)


@given(numbers())
@settings(deadline=None)
def test_what_is_put_beside_bytes_are_zeros(x: Bytes) -> None:
    widths = (0, 1, 0, 1, 0, 3)
    assert torch.equal(floats(padded(x, widths)), padded(floats(x), widths))


def test_pixels_stand_for_themselves() -> None:
    photos = torch.randint(0, 256, (2, 3, 5, 5), dtype=torch.uint8)
    assert torch.equal(floats(pixels(photos, 0)), photos.float())
    assert torch.equal(floats(pixels(photos, 128)), photos.float() - 128)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity(), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        Fused(nn.Conv2d(4, 4, 1), relu=False),
        nn.Linear(4, 1),
    )


def test_each_layer_is_named_once_and_none_is_looked_for_within_what_was_replaced() -> None:
    found = [(each.name, each.convolution is not None, each.relu) for each in layers(network())]
    assert found == [("0", True, True), ("1.0", True, False), ("1.2", False, True)]


def test_what_is_made_stands_in_the_place_of_its_layer() -> None:
    made = network()
    kept, linear = made[2], made[3]
    names = [each.name for each in layers(made)]

    def identity(layer: Layer) -> nn.Module | None:
        return nn.Identity() if layer.convolution is not None else None

    replace(made, identity)
    assert [type(made.get_submodule(name)) for name in names] == [
        nn.Identity, nn.Identity, nn.ReLU,
    ]  # fmt: skip
    assert made[2] is kept
    assert made[3] is linear
