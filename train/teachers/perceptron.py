"""A perceptron with one hidden layer that learns from embeddings of faces."""

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from train.metrics import Bools, Floats
from train.teachers.networks import Embedding

_HIDDEN = 128
_DROPOUT = 0.2, 0.4  # of the embedding, and of the hidden layer
_EPOCHS = 10
_FEWEST_STEPS = 500  # epochs are added where there are few faces
_BATCH = 128
_RATE = 0.0008  # learning rate, at its peak
_SMOOTHING = 0.05  # label smoothing: 1 to 2 % of the labels are wrong


def train_and_predict(known: Embedding, male: Bools, asked: Embedding, seed: int) -> Floats:
    """Train a perceptron, and predict: logits of `male`, (A,).

    known: float32 (N, D); male: (N,); asked: float32 (A, D).
    """
    torch.manual_seed(seed)
    mean, std = known.mean(0), known.std(0) + 1e-6
    seen = torch.from_numpy((known - mean) / std)
    targets = torch.from_numpy(male).float() * (1 - _SMOOTHING) + _SMOOTHING / 2
    network = nn.Sequential(
        nn.Dropout(_DROPOUT[0]), nn.Linear(seen.shape[1], _HIDDEN), nn.ReLU(),
        nn.Dropout(_DROPOUT[1]), nn.Linear(_HIDDEN, 1), nn.Flatten(0),
    )  # fmt: skip
    an_epoch = -(-len(seen) // _BATCH)
    epochs = max(_EPOCHS, -(-_FEWEST_STEPS // an_epoch))
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, epochs * an_epoch)
    for _ in range(epochs):
        order = torch.randperm(len(seen))
        for batch in order.split(_BATCH):  # type: ignore[no-untyped-call]
            loss = F.binary_cross_entropy_with_logits(network(seen[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    with torch.inference_mode():
        said: Tensor = network.eval()(torch.from_numpy((asked - mean) / std))
    return said.double().numpy()
