import numpy as np
import pytest

from train.audit.features import features
from train.data.prepared_set import Prepared


def test_features_are_computed_once(troubled: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    first = features(troubled)
    monkeypatch.setattr("train.audit.features._compute", None)  # asked again, it would fail
    assert np.allclose(features(troubled), first, atol=1e-6)
