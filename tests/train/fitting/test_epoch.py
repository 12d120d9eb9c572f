import numpy as np
import pytest
import torch

from train.fitting import recipe as recipes
from train.fitting.epoch import drawn, learning_rate, loss_of
from train.fitting.recipe import Recipe
from train.fitting.targets import Lessons, Targets


def test_the_learning_rate_warms_up_and_ends_at_nothing(recipe: Recipe) -> None:
    rates = [learning_rate(step, 100, recipe.optimizer) for step in range(101)]
    assert rates[0] == pytest.approx(recipe.optimizer.lr / 10)
    assert max(rates) == pytest.approx(recipe.optimizer.lr)
    assert rates[100] == pytest.approx(0)


def test_nll_of_the_log_softmax_is_cross_entropy() -> None:
    """The old README found the first better than the second; they are one function."""
    torch.manual_seed(0)
    logits = (5 * torch.randn(64, 1)).requires_grad_()
    ones = torch.ones(64)
    targets = Targets(torch.randint(0, 2, (64,)).float(), ones, ones, ones)
    gradients = []
    for name in ("seed", "seed-crossentropy"):
        logits.grad = None
        loss_of(logits, targets, recipes.read(name)).backward()
        assert logits.grad is not None
        gradients.append(logits.grad.clone())
    assert torch.allclose(gradients[0], gradients[1], atol=1e-7)


def test_where_nobody_is_only_that_is_learnt() -> None:
    logits = torch.tensor([[2.0, -1.0], [-3.0, 4.0]], requires_grad=True)
    targets = Targets(
        torch.tensor([1.0, 0.5]), torch.tensor([1.0, 0.0]),
        torch.tensor([0.01, 0.99]), torch.tensor([1.0, 1.0]),
    )  # fmt: skip
    loss_of(logits, targets, recipes.read("fast")).backward()
    assert logits.grad is not None
    assert logits.grad[1, 0] == 0
    assert logits.grad[0, 0] < 0
    assert logits.grad[1, 1] == pytest.approx((torch.sigmoid(torch.tensor(4.0)) - 0.99) * 0.25)


def test_an_epoch_shows_each_row_as_often_as_it_is_to_be_shown(recipe: Recipe) -> None:
    nothing = torch.zeros(1)
    targets = Targets(nothing, nothing, nothing, nothing)
    times = np.array([3.0, 0.3, 1.0] * 100)
    learnt = Lessons(np.arange(300), times, targets)
    epochs = [np.bincount(drawn(learnt), minlength=300) for _ in range(20)]
    assert {int(counts.sum()) for counts in epochs} == {430}
    shown = np.mean(epochs, 0)
    assert (shown[0::3] >= 2.5).all()
    assert (shown[2::3] >= 0.8).all()
    assert shown[1::3].mean() == pytest.approx(0.3, abs=0.02)
    assert (shown[1::3] > 0).mean() > 0.9
