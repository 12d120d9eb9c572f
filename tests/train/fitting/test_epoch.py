import pytest
import torch

from train.fitting import recipe as recipes
from train.fitting.epoch import learning_rate, loss_of
from train.fitting.recipe import Recipe


def test_the_learning_rate_warms_up_and_ends_at_nothing(recipe: Recipe) -> None:
    rates = [learning_rate(step, 100, recipe.optimizer) for step in range(101)]
    assert rates[0] == pytest.approx(recipe.optimizer.lr / 10)
    assert max(rates) == pytest.approx(recipe.optimizer.lr)
    assert rates[100] == pytest.approx(0)


def test_nll_of_the_log_softmax_is_cross_entropy() -> None:
    """The old README found the first better than the second; they are one function."""
    torch.manual_seed(0)
    logits = (5 * torch.randn(64, 1)).requires_grad_()
    targets = torch.randint(0, 2, (64,)).float()
    gradients = []
    for name in ("seed", "seed-crossentropy"):
        logits.grad = None
        loss_of(logits, targets, recipes.read(name)).backward()
        assert logits.grad is not None
        gradients.append(logits.grad.clone())
    assert torch.allclose(gradients[0], gradients[1], atol=1e-7)
