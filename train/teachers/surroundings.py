"""Read out what surrounds a face: hair, scarf, shoulders, clothes, body."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from train.metrics import Bools, Floats
from train.teachers.networks import Embedding

_STRENGTH = 0.001  # inverse of the regularisation


def train_and_predict(known: Embedding, male: Bools, asked: Embedding) -> Floats:
    """Train a logistic regression on embeddings, and predict: logits of `male`, (A,).

    known: float32 (N, D); male: (N,); asked: float32 (A, D).
    """
    read_out = make_pipeline(StandardScaler(), LogisticRegression(C=_STRENGTH, max_iter=300))
    return np.asarray(read_out.fit(known, male).decision_function(asked), dtype=np.float64)
