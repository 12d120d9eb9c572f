"""The commands as people use them: real processes on one real root."""

import csv
import io
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gdwatch.root import lock
from tests import build
from tests.build import BRIGHT, DARK, GREY, gdwatch, photograph, query, rows


@pytest.fixture(scope="module")
def pattern(model, tmp_path_factory):
    """A root with one photograph of each outcome, its service ended."""
    root = build.make_root(tmp_path_factory.mktemp("pattern") / "root")
    build.put(root, "bright.png", photograph(1, BRIGHT))
    build.put(root, "trip/dark.png", photograph(2, DARK))
    build.put(root, "grey.png", photograph(3, GREY))
    build.put(root, "text.jpg", b"no picture")
    assert build.Services(model).once(root).process.returncode == 0
    return root


@pytest.fixture
def filed(pattern, tmp_path):
    """A copy of that root: its paths are relative, so it works wherever it lies."""
    return Path(shutil.copytree(pattern, tmp_path / "root"))


@pytest.fixture
def call(filed, model, tmp_path):
    """Run one command on that root."""

    def run(*words, preexec_fn=None, **settings):
        given = build.arguments(filed, {"model": model, "settle_ms": 50, "workers": 1, **settings})
        return gdwatch(*words, *given, cwd=tmp_path, preexec_fn=preexec_fn)

    return run


@pytest.fixture
def opposite(tmp_path):
    """Another model: bright is female to it."""
    return build.model_file(tmp_path / "opposite.safetensors", slope=-30.0, name="opposite")


def outcomes(root):
    return {row["original_path"]: row["path"].split("/")[0] for row in rows(root)}


# ------------------------------------------------------------------------- classify


def test_classify_answers_in_the_order_given_and_moves_nothing(call, filed, tmp_path):
    folder = tmp_path / "folder"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "dark.png").write_bytes(photograph(4, DARK))
    (folder / "a.png").write_bytes(photograph(5, BRIGHT))
    (folder / "c.txt").write_bytes(b"text")
    before = build.contents(filed), rows(filed)
    done = call("classify", str(folder / "c.txt"), str(folder), "--format", "jsonl")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [Path(each["path"]).name for each in answers] == ["c.txt", "a.png", "dark.png", "c.txt"]
    assert [each["outcome"] for each in answers] == ["rejected", "male", "female", "rejected"]
    assert list(answers[0]) == [
        "path",
        "outcome",
        "reason",
        "label",
        "confidence",
        "p_male",
        "faces",
        "box_x",
        "box_y",
        "box_w",
        "box_h",
        "width",
        "height",
        "format",
        "model",
    ]
    assert (build.contents(filed), rows(filed)) == before


def test_classify_writes_the_old_json(call, tmp_path):
    (tmp_path / "x.png").write_bytes(photograph(6, BRIGHT))
    (tmp_path / "y.png").write_bytes(photograph(7, GREY))
    done = call("classify", "x.png", "y.png", "--format", "json", "-o", "process_results.json")
    assert done.stdout == ""
    assert json.loads((tmp_path / "process_results.json").read_text()) == {
        "x.png": "male",
        "y.png": "unsure",
    }


def test_classify_keeps_formulas_and_line_breaks_of_names_out_of_csv(call, tmp_path):
    for name in (b"=cmd()\n.png", b"\xff.png"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(photograph(8, DARK))
    done = call("classify", "=cmd()\n.png", os.fsdecode(b"\xff.png"), "--format", "csv")
    table = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["path"] for row in table] == [r"'=cmd()\x0a.png", r"\xff.png"]
    assert [row["outcome"] for row in table] == ["female", "female"]


def test_an_input_that_cannot_be_opened_is_named_and_makes_the_status_1(call, tmp_path):
    (tmp_path / "x.png").write_bytes(photograph(9, BRIGHT))
    done = call("classify", "nowhere.png", "x.png")
    assert done.returncode == 1
    assert "gdwatch: nowhere.png: no such file or directory" in done.stderr
    assert "unreadable" in done.stdout.splitlines()[1]
    assert done.stdout.splitlines()[2].startswith("male")


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "0<&- 2>&-"])
def test_classify_answers_where_nothing_can_be_said_on_standard_error(
    redirection, filed, model, tmp_path
):
    (tmp_path / "x.png").write_bytes(photograph(9, BRIGHT))
    words = ["classify", "x.png", "--format", "jsonl", *build.arguments(filed, {"model": model})]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "gdwatch", *words],
        stdout=subprocess.PIPE, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["outcome"] == "male"


@pytest.mark.parametrize(("words", "end"), [(["-"], b"\n"), (["-", "-0"], b"\0")])
def test_classify_reads_names_from_standard_input(filed, model, tmp_path, words, end):
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(photograph(number, BRIGHT))
    done = subprocess.run(
        [sys.executable, "-m", "gdwatch", "classify", *words, "--format", "jsonl",
         *build.arguments(filed, {"model": model, "workers": 1})],
        input=end.join([b"2.png", b"1.png"]), capture_output=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert [json.loads(line)["path"] for line in done.stdout.splitlines()] == ["2.png", "1.png"]


@pytest.fixture
def pictures(tmp_path):
    """A folder with eight photographs."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number:02}.png").write_bytes(photograph(number, BRIGHT))
    return folder


def test_answers_go_to_a_file_though_the_bar_is_on_the_terminal(pictures, filed, model, tmp_path):
    words = ["classify", pictures, "--format", "csv", *build.arguments(filed, {"model": model})]
    with (tmp_path / "answers.csv").open("w") as file:
        shown = build.at_a_terminal(*words, cwd=tmp_path, stdout=file)
    answers = (tmp_path / "answers.csv").read_text().splitlines()
    assert len(answers) == 1 + 8
    assert "male" not in shown
    assert "8/8" in shown


def test_the_bar_stands_below_the_table_with_total_rate_and_time_left(
    pictures, filed, model, tmp_path
):
    words = ["classify", pictures, *build.arguments(filed, {"model": model})]
    shown = build.at_a_terminal(*words, cwd=tmp_path)
    for number in range(8):
        assert re.search(rf"male +\d\.\d+ +{pictures}/{number:02}.png\r\n", shown), number
    assert re.search(r"8/8 \d+\.\d/s \d:\d\d:\d\d left", shown)


# ------------------------------------------------------------------------- reprocess, requeue


def test_reprocess_adds_results_and_moves_nothing(call, filed, opposite):
    before = build.contents(filed)
    done = call("reprocess", str(filed), "--json", model=opposite)
    assert json.loads(done.stdout)["changed"] == {"female → male": 1, "male → female": 1}
    assert build.contents(filed) == before
    assert query(filed, "SELECT count(*) AS n FROM results")[0]["n"] == 8
    assert {row["model"] for row in query(filed, "SELECT model FROM current_results")} == {
        "brightness 1"
    }


def test_reprocess_with_move_files_what_changed(call, filed, opposite):
    call("reprocess", str(filed / "male"), "--move", model=opposite)
    call("reprocess", str(filed), "--move", model=opposite)
    assert outcomes(filed) == {
        "inbox/bright.png": "female",
        "inbox/trip/dark.png": "male",
        "inbox/grey.png": "unsure",
        "inbox/text.jpg": "rejected",
    }
    assert {row["state"] for row in rows(filed)} == {"filed"}
    assert build.contents(filed).keys() == {
        "female/bright.png", "male/trip/dark.png", "unsure/grey.png", "rejected/text.jpg"
    }  # fmt: skip


def test_a_dry_run_records_nothing(call, filed, opposite):
    everything = "SELECT (SELECT count(*) FROM results) + (SELECT count(*) FROM models) AS n"
    before = query(filed, everything)
    done = call("reprocess", str(filed), "--dry-run", "--json", model=opposite)
    answer = json.loads(done.stdout)
    assert answer["changed"] == {"female → male": 1, "male → female": 1}
    assert [(each["path"], each["old"], each["new"]) for each in answer["files"]] == [
        ("female/trip/dark.png", "female", "male"),
        ("male/bright.png", "male", "female"),
    ]
    assert all(each["old_confidence"] and each["new_confidence"] for each in answer["files"])
    assert query(filed, everything) == before


def test_what_this_model_has_judged_is_skipped_but_still_filed(call, filed, opposite):
    call("reprocess", str(filed), model=opposite)
    done = call("reprocess", str(filed), "--json", model=opposite)
    assert json.loads(done.stdout)["skipped"] == 4
    call("reprocess", str(filed), "--move", model=opposite)
    assert outcomes(filed)["inbox/bright.png"] == "female"


def test_other_rules_are_judged_again(call, filed):
    done = call("reprocess", str(filed), "--json", min_confidence=0.5)
    answer = json.loads(done.stdout)
    assert answer["skipped"] == 0
    assert sum(answer["changed"].values()) == 1


def test_a_picture_without_a_row_gets_one_for_the_folder_that_it_lies_in(call, filed):
    (filed / "female" / "stray.png").write_bytes(photograph(20, BRIGHT))
    call("reprocess", str(filed / "female"))
    (row,) = query(filed, "SELECT * FROM current_results WHERE name = 'stray.png'")
    assert (row["outcome"], row["label"], row["state"]) == ("female", "male", "filed")


def test_changed_bytes_get_a_row_of_their_own(call, filed):
    (filed / "male" / "bright.png").write_bytes(photograph(21, DARK))
    call("reprocess", str(filed / "male"))
    states = [row["state"] for row in rows(filed) if row["path"] == "male/bright.png"]
    assert states == ["missing", "filed"]


def test_a_file_that_is_too_large_to_be_recorded_does_not_stop_the_others(call, filed):
    (filed / "male" / "a-large.png").write_bytes(photograph(22, BRIGHT) + bytes(3_000_000))
    (filed / "male" / "stray.png").write_bytes(photograph(23, BRIGHT))
    done = call("reprocess", str(filed / "male"), "--json", max_bytes=2_000_000)
    assert "a-large.png: larger than max_bytes" in done.stderr
    assert json.loads(done.stdout)["failed"] == 1
    assert [row["path"] for row in rows(filed) if "stray" in row["path"]] == ["male/stray.png"]


def test_a_row_below_a_folder_of_earlier_settings_does_not_stop_the_others(call, filed, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = call("requeue", "--outcome", "male", "--json", male=elsewhere)
    assert "bright.png: lies below none of the folders of today's settings" in done.stderr
    assert json.loads(done.stdout)["failed"] == 1


def test_reprocess_walks_folders_that_are_deeper_than_python_can_recurse(call, filed):
    path = f"{filed}/male"
    for _ in range(1100):
        path += "/d"
        os.mkdir(path)
    done = call("reprocess", str(filed / "male"), "--json")
    while path != f"{filed}/male":
        os.rmdir(path)
        path = path.rpartition("/")[0]
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["skipped"] == 1


def test_reprocess_of_another_folder_says_what_to_use_instead(call, tmp_path):
    done = call("reprocess", str(tmp_path))
    assert done.returncode == 1
    assert "gdwatch classify" in done.stderr


def test_requeue_judges_again_and_files_at_once(call, filed, opposite):
    done = call("requeue", "--outcome", "male", "--json", model=opposite)
    assert json.loads(done.stdout)["changed"] == {"male → female": 1}
    assert outcomes(filed)["inbox/bright.png"] == "female"


def test_requeue_needs_something_to_judge(call):
    assert call("requeue").returncode == 2


# ------------------------------------------------------------------------- correct, show


def test_a_correction_moves_the_file_and_stays(call, filed, opposite):
    done = call("correct", str(filed / "male" / "bright.png"), "female")
    assert done.returncode == 0, done.stderr
    assert (filed / "female" / "bright.png").is_file()
    call("reprocess", str(filed), "--move", model=opposite)
    call("reprocess", str(filed), "--move")
    (row,) = query(filed, "SELECT * FROM current_results WHERE name = 'bright.png'")
    assert (row["path"], row["label"], row["corrected"]) == ("female/bright.png", "male", "female")


def test_a_correction_can_be_taken_back(call, filed):
    (row,) = query(filed, "SELECT id FROM files WHERE name = 'grey.png'")
    call("correct", str(row["id"]), "male")
    assert (filed / "male" / "grey.png").is_file()
    assert call("correct", str(row["id"]), "--undo").returncode == 0
    assert (filed / "unsure" / "grey.png").is_file()
    (row,) = query(
        filed, "SELECT outcome, reason, corrected FROM current_results WHERE name = 'grey.png'"
    )
    assert tuple(row.values()) == ("unsure", "low_confidence", None)


def test_a_running_service_files_what_a_command_wishes(call, filed, services):
    service = services.start(filed)
    service.wait_for("service.ready")
    assert call("correct", "male/bright.png", "female").returncode == 0
    assert (filed / "female" / "bright.png").is_file()
    assert {row["state"] for row in rows(filed)} == {"filed"}
    assert service.stop() == 0


def test_a_file_that_was_taken_away_cannot_be_corrected(call, filed):
    (filed / "male" / "bright.png").unlink()
    done = call("correct", "male/bright.png", "female")
    assert done.returncode == 1
    assert "taken away" in done.stderr
    assert query(filed, "SELECT state FROM files WHERE name = 'bright.png'") == [
        {"state": "missing"}
    ]


def test_show_finds_a_file_by_id_by_path_and_by_where_it_was_dropped(call, filed):
    (row,) = query(filed, "SELECT id FROM files WHERE name = 'dark.png'")
    for which in (str(row["id"]), "female/trip/dark.png", "inbox/trip/dark.png"):
        answer = json.loads(call("show", which, "--json").stdout)
        assert answer["path"] == "female/trip/dark.png"
        assert len(answer["results"]) == 1
    assert call("show", "no/such.png").returncode == 1


# ------------------------------------------------------------------------- status, db, model


def test_status_works_without_a_service(call):
    answer = json.loads(call("status", "--json").stdout)
    assert {"state", "reason", "since", "waiting", "waiting_is_complete", "filed", "unsure",
            "rejected", "skipped", "model"} <= answer.keys()  # fmt: skip
    assert (answer["state"], answer["filed"], answer["unsure"], answer["rejected"]) == (
        "stopped", 4, 1, 1
    )  # fmt: skip


def test_status_says_that_the_service_runs_and_a_monitor_that_all_is_well(call, filed, services):
    service = services.start(filed)
    service.wait_for("service.ready")
    assert json.loads(call("status", "--json").stdout)["state"] == "running"
    done = call("status", "--check")
    assert (done.returncode, done.stdout.split(" since")[0]) == (0, "gdwatch OK: running")
    os.mkfifo(filed / "inbox" / "pipe")
    service.wait_for("inbox.skipped")
    done = call("status", "--check", "--json")
    assert done.returncode == 1
    assert [each["name"] for each in json.loads(done.stdout)["problems"]] == ["skipped"]


def test_a_monitor_is_told_that_the_service_is_stopped_and_how_long_a_file_waits(call, filed):
    build.put(filed, "late.png", photograph(40))
    done = call("status", "--check", "--max-wait-s", "0", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["check"]) == (2, "critical")
    assert {"stopped"} <= {each["name"] for each in answer["problems"]} <= {"stopped", "waiting"}
    (waits,) = answer["waiting_files"]
    assert (waits["path"], waits["why"]) == ("inbox/late.png", "the service is stopped")


def test_where_there_is_no_root_status_says_so(tmp_path):
    done = gdwatch("status", f"--root={tmp_path / 'nowhere'}", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (78, "")
    assert "nowhere: no root of gdwatch" in done.stderr
    done = gdwatch("status", "--check", f"--root={tmp_path / 'nowhere'}", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout.startswith("gdwatch UNKNOWN: ")


def test_status_can_be_followed_through_a_pipe_a_line_of_json_a_second(filed, model, tmp_path):
    words = ["status", "--watch", "--json", *build.arguments(filed, {"model": model})]
    with subprocess.Popen(
        [sys.executable, "-m", "gdwatch", *words], cwd=tmp_path, stdout=subprocess.PIPE,
        env=build.environment(),
    ) as command:  # fmt: skip
        answers = [json.loads(command.stdout.readline()) for _ in range(2)]
        command.send_signal(signal.SIGINT)
    assert [each["filed"] for each in answers] == [4, 4]
    assert command.returncode == 130


def test_check_finds_what_was_taken_away_and_what_has_no_row(call, filed):
    assert call("db", "check").returncode == 0
    (filed / "male" / "bright.png").unlink()
    (filed / "female" / "stray.png").write_bytes(photograph(30, DARK))
    done = call("db", "check", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert answer == {
        "root": str(filed),
        "damage": [],
        "missing": ["male/bright.png"],
        "back": [],
        "moved": {},
        "without_row": ["female/stray.png"],
        "away": ["male"],
    }
    assert {row["state"] for row in rows(filed)} == {"filed"}
    call("db", "check", "--mark", "--force")
    text = call("db", "check").stdout
    assert "taken away   1\n  male/bright.png\n" in text
    assert "without row  1\n  female/stray.png\n" in text
    assert [row["state"] for row in rows(filed)].count("missing") == 1


def test_check_needs_few_descriptors_however_many_folders_there_are(call, filed):
    for number in range(40):
        (filed / "male" / f"trip {number:03}" / "day").mkdir(parents=True)
        (filed / "male" / f"trip {number:03}" / "day" / "a.png").write_bytes(photograph(31, DARK))
    call("reprocess", str(filed / "male"))
    for number in range(40):
        (filed / "male" / f"trip {number:03}" / "day" / "a.png").unlink()

    def few():
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))

    done = call("db", "check", "--json", preexec_fn=few)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["missing"]) == 40


def test_what_file_managers_leave_in_an_answer_folder_is_no_photograph(call, filed, opposite):
    left = filed / "male" / ".DS_Store"
    left.write_bytes(b"of a file manager")
    assert call("db", "check").returncode == 0
    assert call("reprocess", filed, "--move", model=opposite).returncode == 0
    assert left.read_bytes() == b"of a file manager"
    assert len(rows(filed)) == 4


def test_the_ledger_is_not_upgraded_under_a_running_service(call, filed):
    with lock.hold(filed / ".gdwatch"):
        assert call("db", "upgrade").returncode == 75


def test_upgrade_of_todays_ledger_changes_nothing(call, filed):
    before = rows(filed)
    assert call("db", "upgrade").stdout == "version 0002\n"
    assert call("db", "current").stdout == "ledger 0002, this gdwatch writes 0002\n"
    assert rows(filed) == before
    assert not list(filed.glob("*.snapshot"))


def test_the_shipped_model_verifies(tmp_path):
    assert "ok" in gdwatch("model", "verify", "fast", cwd=tmp_path).stdout
    shown = json.loads(gdwatch("model", "show", "fast", "--json", cwd=tmp_path).stdout)
    assert shown["classes"] == ["female", "male"]
    assert shown["bytes"] <= 16 * 2**20


@pytest.mark.parametrize("name", ["fast", "accurate", "whole"])
def test_a_model_is_shown_in_ten_lines_that_a_person_can_read(name, tmp_path):
    lines = gdwatch("model", "show", name, cwd=tmp_path).stdout.splitlines()
    assert len(lines) == 10
    assert max(map(len, lines)) <= 200
    assert lines[0].startswith(f"model       {name} ")
    text = "\n".join(lines)
    assert "{" not in text
    assert text.count("not told") == 0


def test_doctor_finds_a_healthy_installation_healthy(call):
    done = call("doctor", "--json")
    findings = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert findings["settings"]["settle_ms"] == {"value": 50, "from": "command line"}
    assert not [finding for finding in findings["findings"] if finding["todo"]]


def test_doctor_says_how_many_photographs_are_really_judged_together(call):
    done = call("doctor", "--json", model="fast", workers=16, device="cpu")
    found = {each["name"]: each["what"] for each in json.loads(done.stdout)["findings"]}
    assert "it judges up to 16 photographs together, not 32" in found["engine"]


def test_doctor_says_what_to_do_about_a_bad_model(call, filed):
    done = call("doctor", "--json", model=filed / "nothing.safetensors")
    bad = [each["name"] for each in json.loads(done.stdout)["findings"] if each["todo"]]
    assert done.returncode == 78
    assert bad == ["model", "engine"]
    remedies = {each["name"]: each["remedy"] for each in json.loads(done.stdout)["findings"]}
    assert "doctor" in remedies["model"]
    assert "--set model=auto" in remedies["model"]
    assert remedies["space"] == ""


def test_doctor_says_first_what_it_has_tried_and_then_the_settings_in_force(call, filed, model):
    done = call("doctor", inbox=filed / ("long " * 30))
    (filed / ("long " * 30)).mkdir()
    tried, settings = done.stdout.split("\n\n")
    assert all(line.startswith(("ok ", "mend ", " ")) for line in tried.splitlines())
    assert "mend" in tried
    assert f"{filed / ('long ' * 30)}".rstrip() in settings
    in_force = dict(re.split(r"  +", line, maxsplit=1) for line in settings.splitlines())
    assert in_force["female"] == str(filed / "female")
    assert in_force["min_confidence"] == "0.9"
    assert in_force["batch_size"] == "32"
    assert in_force["workers"] == "1  (command line)"
    assert in_force["database"] == f"sqlite:///{filed}/results.db"
    assert in_force["device"] == "cpu"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_doctor_of_root_tries_everything_as_the_user_of_the_service(pattern, model):
    nobody = 65534
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        Path(folder).chmod(0o755)
        root = Path(shutil.copytree(pattern, Path(folder) / "root"))
        usable = Path(shutil.copy(model, folder))
        usable.chmod(0o644)
        for path in (root, *root.rglob("*")):
            os.chown(path, nobody, nobody)
        (root / "male").chmod(0o555)  # root could still move files there
        words = build.arguments(root, {"model": usable, "workers": 1})
        done = gdwatch("doctor", "--json", *words, cwd=root)
        findings = {each["name"]: each for each in json.loads(done.stdout)["findings"]}
    assert findings["user"]["what"] == "tried as nobody"
    assert findings["moves"]["what"] == f"{root}/male: permission denied, tried as nobody"
    assert findings["moves"]["remedy"] == f"sudo chown nobody {root}/male"
    assert done.returncode == 78


def test_doctor_tries_the_port_of_the_metrics_and_the_hooks(call):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = call("doctor", "--json", metrics_port=port, ui_port=port, daily="/nowhere/mail")
    findings = {each["name"]: each for each in json.loads(done.stdout)["findings"]}
    assert done.returncode == 78
    what = f"metrics_host 127.0.0.1, metrics_port {port}: address already in use"
    assert findings["metrics"]["what"] == what
    assert findings["metrics"]["remedy"] == f"sudo ss -ltnp sport = {port}"
    assert "/nowhere/mail: no such program" in findings["hooks"]["what"]
    free = json.loads(call("doctor", "--json", metrics_port=port, daily="true").stdout)
    findings = {each["name"]: each["what"] for each in free["findings"]}
    assert (findings["metrics"], findings["hooks"]) == (f"can be told at 127.0.0.1:{port}", "daily")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["correct", "1"],
        ["requeue", "--outcome", "foo"],
        ["reprocess", ".", "--move", "--dry-run"],
        ["status", "--watch", "--check"],
    ],
)
def test_wrong_usage_has_status_2(words, tmp_path):
    assert gdwatch(*words, cwd=tmp_path).returncode == 2


def test_help_is_plain_text_with_plain_flags(tmp_path):
    for words in (["--help"], ["status", "--help"], ["db", "check", "-h"]):
        said = gdwatch(*words, cwd=tmp_path, env=build.environment(FORCE_COLOR="1")).stdout
        assert said.startswith("Usage: gdwatch ")
        assert said.isascii()
        assert "<bool>" not in said
        assert "\x1b" not in said


def test_a_shell_completes_commands_and_options(tmp_path):
    for typed, completions in (("gdwatch st", "status"), ("gdwatch status --ch", "--check")):
        env = build.environment(
            _GDWATCH_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(typed.count(" "))
        )
        assert gdwatch(cwd=tmp_path, env=env).stdout.split() == [completions]


def has_children(pid):
    return bool(build.children(pid))


def is_asleep(pid):
    return "nanosleep" in Path(f"/proc/{pid}/wchan").read_text()


@pytest.mark.parametrize(
    ("words", "is_at_work"),
    [
        (["classify", "-"], has_children),
        (["reprocess", "root"], has_children),
        (["doctor"], has_children),
        (["status", "--watch"], is_asleep),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_ctrl_c_ends_a_command_without_a_traceback(filed, model, tmp_path, words, is_at_work):
    command = subprocess.Popen(
        [sys.executable, "-m", "gdwatch", *words, *build.arguments(filed, {"model": model})],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=tmp_path, env=build.environment(),
    )  # fmt: skip
    build.wait_until(lambda: is_at_work(command.pid))
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=build.DEADLINE_S)
    assert (command.returncode, said) == (130, b"")
