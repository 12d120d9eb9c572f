"""One pipeline for several callers: each gets its own answers, in order, or the error."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from gdwatch.cluster.shared_pipeline import SharedPipeline
from gdwatch.errors import ActionNeeded, GdwatchError
from tests import build
from tests.build import BRIGHT, DARK, photograph


def test_each_caller_gets_its_own_answers_in_order(tmp_path: Path) -> None:
    file = build.model_file(tmp_path / "a.safetensors")
    root = build.make_root(tmp_path / "root")
    settings = build.make_settings(root, model=str(file), workers=2, max_bytes=20_000)
    males, females = (
        [photograph(number, level) for number in range(first, first + 100)]
        for first, level in ((0, BRIGHT), (200, DARK))
    )
    others = [b"", b"some text", bytes(20_001), males[0]]
    with closing(SharedPipeline(settings)) as pipeline, ThreadPoolExecutor() as threads:
        assert pipeline.models[0].name == "brightness"
        found = list(threads.map(pipeline.judge, (males, females, others, [])))
        assert [{each.decision.outcome for each in one} for one in found[:2]] == [
            {"male"}, {"female"}
        ]  # fmt: skip
        assert [len(one) for one in found] == [100, 100, 4, 0]
        assert [each.decoded.sha256 for each in found[0]] == list(map(build.sha256, males))
        assert [each.decision.reason for each in found[2]] == [
            "empty", "not_an_image", "too_many_bytes", None
        ]  # fmt: skip
        assert {each.device for each in found[0]} == {"cpu"}
    with pytest.raises(GdwatchError, match="closed"):
        pipeline.judge(males[:1])


def test_a_model_that_cannot_be_used_is_the_callers_error(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"no model")
    root = build.make_root(tmp_path / "root")
    settings = build.make_settings(root, model=str(tmp_path / "bad.safetensors"))
    with pytest.raises(ActionNeeded, match=r"bad\.safetensors"):
        SharedPipeline(settings)
