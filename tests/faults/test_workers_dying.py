"""Workers that die, hang or talk nonsense cost the picture that did it, and no other (T24)."""

from itertools import product

import pytest

from tests import build
from tests.faults import dying_worker, toy
from tests.faults.case import Case
from tests.faults.dying_worker import marked
from tests.faults.launch import Fault, Run, call
from tests.faults.toy import Answer

pytestmark = pytest.mark.timeout(600)
DYING = [call("tests.faults.dying_worker:start")]
DEEDS = {
    "SIGKILL": "decoder_crashed",
    "hang": "decoder_timeout",
    "SIGSEGV": "decoder_crashed",
    "SIGSTOP": "decoder_timeout",
    "SIGABRT": "decoder_crashed",
    "leave": "decoder_crashed",
    "nonsense }": "decoder_crashed",
    "nonsense [7]": "decoder_crashed",
    'nonsense {"slot": 99}': "decoder_crashed",
    'nonsense {"slot": SLOT, "Photo": {"size": 7}}': "decoder_crashed",
    'nonsense {"slot": SLOT, "Refusal": {"reason": "male"}}': "decoder_crashed",
    'nonsense {"slot": SLOT, "Refusal": {"reason": "damaged", "detail": "", "sha256": [1],'
    ' "header": null, "decode_ms": NaN}}': "decoder_crashed",
}
PLACES = (0, 3, 6)  # among the six others
TIMEOUT_S = 1.5


def drop_seven(case: Case, place: int, deed: str, answer: Answer | None) -> bytes:
    """Six pictures and, before one of them, the one that does a deed."""
    poison = marked(case.picture(0.97), deed)
    for number in range(7):
        if number == place:
            case.drop("poison.png", poison, answer)
        case.drop(f"{number}.png")
    return poison


def deaths(run: Run) -> int:
    return len(run.events("worker.died")) + len(run.events("worker.timeout"))


@pytest.mark.scenario("T24", quick=4, long=140)
def test_a_poison_file_is_rejected_at_the_second_death_and_its_neighbours_go_on(
    rounds: list[Case],
) -> None:
    for case in rounds:
        cells = list(product(DEEDS, PLACES, (1, 2), (1, 3, 16)))
        deed, place, workers, batch = case.pick(cells)
        case.settings |= {
            "workers": workers, "batch_size": batch, "decode_timeout_s": TIMEOUT_S
        }  # fmt: skip
        drop_seven(case, place, deed, Answer("rejected", DEEDS[deed]))
        run = case.run("run", "--once", before=DYING)
        case.count.faults += deaths(run)
        case.judge()
        assert deaths(run) == 2, run.text()
        (told,) = run.events("file.rejected")
        assert (told["name"].rpartition("/")[2], told["reason"]) == ("poison.png", DEEDS[deed])


@pytest.mark.scenario("T24", quick=1, long=30)
def test_a_file_whose_worker_died_once_is_judged_like_any_other(rounds: list[Case]) -> None:
    for case in rounds:
        deed, place = case.pick(list(product(DEEDS, PLACES)))
        case.settings["decode_timeout_s"] = TIMEOUT_S
        drop_seven(case, place, f"once {deed}", toy.answer_to(0.97))
        run = case.run("run", "--once", before=DYING)
        case.count.faults += deaths(run)
        case.judge()
        assert deaths(run) == 1, run.text()
        assert not run.events("file.rejected")


@pytest.mark.scenario("T24", quick=1, long=30)
def test_a_main_process_killed_five_times_over_a_poison_file_rejects_nothing(
    rounds: list[Case],
) -> None:
    for case in rounds:
        deed = case.pick(["hang", "SIGKILL"])
        case.settings["decode_timeout_s"] = 60
        poison = drop_seven(case, case.number % 7, deed, toy.answer_to(0.97))
        sign = case.folder / dying_worker.sign(poison)
        # Killed when it notices the first death: the second is soon after it, and is for good.
        noticed = Fault("gdwatch.pipeline.worker_pool:WorkerPool._replace", may_miss=deed == "hang")
        for _ in range(5):
            run = case.start("run", before=DYING, faults=[noticed], allowed=(-9,))
            build.wait_until(sign.exists, "the poison is at work")
            if deed == "hang":
                run.kill()
            run.wait()
            case.count.kills += 1
            case.count.faults += 1
            sign.unlink()
            assert not run.events("file.rejected"), run.text()
        case.look_after_fault()
        case.finish()


def test_a_picture_that_needs_more_memory_than_a_worker_has_harms_no_other(case: Case) -> None:
    case.settings["worker_memory_mb"] = 256
    large = build.encode(build.Image.new("L", (8000, 8000), 200), "PNG")
    for number in range(3):
        case.drop(f"{number}.png")
    case.drop("large.png", large, Answer("rejected", "too_many_pixels"))
    for number in range(3, 6):
        case.drop(f"{number}.png")
    run = case.run("run", "--once")
    case.judge()
    assert deaths(run) == 0  # Python notices: the worker lives, and its next picture is decoded
    (told,) = run.events("file.rejected")
    assert "worker_memory_mb" in told["detail"]


def test_the_pictures_marked_here_are_pictures_like_any_other_to_the_products_worker(
    case: Case,
) -> None:
    drop_seven(case, 3, "SIGKILL", toy.answer_to(0.97))
    case.run("run", "--once")
    case.judge()
