import os
import re
import shutil
from itertools import combinations
from pathlib import Path

import pytest

from gdwatch.inference import model, model_file
from tests.train.build import trained
from train.data.prepared_set import Prepared
from train.evaluation.report import report
from train.export.export import export
from train.fitting.recipe import Recipe


def test_the_report_is_one_file_that_needs_no_other(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    run = trained(prepared, recipe, tmp_path / "run")
    done = export(run, tmp_path / "m.safetensors", "m", "1", 0.99)
    report(model.load(model_file.read(done.file)), prepared, "train", 10, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert all(title in text for title in ("ROC", "Reliability", "Coverage", "Training"))
    assert "By source" in text
    assert "By age" not in text  # the manifest has none
    outside = [link for link in re.findall(r'(?:src|href)="([^"]*)"', text) if link[0] not in "#d"]
    assert outside == []


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_CUT = """() => [...document.querySelectorAll("td")].filter(
    (cell) => cell.getBoundingClientRect().right > innerWidth).length"""
_TEXTS = """() => [...document.querySelectorAll("svg")].map((plot) =>
    [...plot.querySelectorAll("text")].map((text) => {
        const box = text.getBoundingClientRect();
        return [text.textContent, box.left, box.top, box.right, box.bottom];
    }))"""


@pytest.mark.timeout(300)
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_phone_shows_every_number_and_no_label_over_another(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    run = trained(prepared, recipe, tmp_path / "run")
    done = export(run, tmp_path / "m.safetensors", "m", "1", 0.99)
    report(model.load(model_file.read(done.file)), prepared, "train", 10, tmp_path / "r.html")
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        for width in (400, 1280):
            tab = browser.new_page(viewport={"width": width, "height": 800})
            tab.goto((tmp_path / "r.html").as_uri())
            assert tab.evaluate(_CUT) == 0
            for texts in tab.evaluate(_TEXTS):
                assert len(texts) > 8
                assert [pair for pair in combinations(texts, 2) if _overlap(*pair)] == []
        browser.close()


def _overlap(one: list[float], other: list[float]) -> bool:
    (_, left, top, right, bottom), (_, left_2, top_2, right_2, bottom_2) = one, other
    return left < right_2 and left_2 < right and top < bottom_2 and top_2 < bottom
