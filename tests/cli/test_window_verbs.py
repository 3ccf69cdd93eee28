"""``retry``, ``cancel``, ``logs``, ``collect`` and the options of ``roll``: windows are put back, given up and read."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rollwright.app.pool import open_pool
from rollwright.campaign.run import TrainingTerms
from rollwright.cli.quantities import parse_duration, parse_memory
from rollwright.cli.root import run
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.core.output_file import MOST_BYTES, collect_output
from rollwright.errors import TaskFailedError
from rollwright.pool.manager import TaskManager
from rollwright.pool.worker.task_log import log_task_output, read_usage
from small_campaign import CAMPAIGN, roll_here

WINDOWS = ("2020-05-29..2020-07-02", "2020-07-03..2020-08-06", "2020-08-07..2020-09-10", "2020-09-11..2020-10-05")

OWN_MODEL = """\
import os
from pathlib import Path
from rollwright.models.linear import LinearModel

class Told(LinearModel):
    def fit(self, dataset, reweighter=None):
        start = str(dataset.segments["test"][0])[:10]
        print("told", start)
        os.write(2, b"native words\\n")
        if Path(f"bad-{start}").exists():
            raise ValueError("no such price")
        return super().fit(dataset, reweighter)
"""


@contextmanager
def pool() -> Iterator[TaskManager]:
    with using(load_settings()), open_pool("small") as manager:
        yield manager


def states() -> list[str]:
    with pool() as manager:
        return [record.status.value for record in manager.store.find("small")]


def answer(capsys, *arguments: str) -> dict:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["data"]


def test_windows_that_failed_wait_again_and_no_other(rolled, capsys):
    with pool() as manager:
        manager.reset_status({}, "waiting")
        manager.mark_failed(manager.fetch_task(), "ValueError: no")
        manager.cancel({"status": "waiting"})
    assert answer(capsys, "retry", "small")["windows"] == [WINDOWS[0]]
    assert states() == ["waiting", "cancelled", "cancelled", "cancelled"]
    assert answer(capsys, "retry", "small", "2020-08")["windows"] == [WINDOWS[2]]  # a cancelled one that is named
    assert states() == ["waiting", "cancelled", "waiting", "cancelled"]
    assert answer(capsys, "retry")["windows"] == []


def test_a_window_that_is_none_is_refused_with_the_nearest(rolled, capsys):
    before = states()
    for verb in ("retry", "logs"):
        assert run([verb, "small", "2020-05-29..2020-07-03"]) == 2
        assert f"did you mean `{WINDOWS[0]}`?" in capsys.readouterr().err
    assert run(["roll", "small.yaml", "--only", "1999"]) == 2
    assert "no window `1999`" in capsys.readouterr().err
    for words in (["retry", "small", ""], ["logs", "small", ""], ["roll", "small.yaml", "--only", ""]):
        assert run(words) == 2  # every name begins with an empty text, which an unset variable of the shell is
        assert "an empty text names no window" in capsys.readouterr().err
    assert states() == before


def test_cancelling_asks_first_and_keeps_what_is_finished(rolled, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pool() as manager:
        manager.reset_status({"_id": {"$in": ["1", "2"]}}, "waiting")
    assert run(["cancel", "small"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert states() == ["waiting", "waiting", "done", "done"]
    assert answer(capsys, "cancel", "small", "--yes") == {"name": "small", "windows": [*WINDOWS[:2]], "stopped": 0}
    assert states() == ["cancelled", "cancelled", "done", "done"]


def test_results_are_made_anew_from_what_is_trained(rolled, capsys):
    before = (rolled / "results" / "small" / "pred.parquet").read_bytes()
    shutil.rmtree(rolled / "results")
    data = answer(capsys, "collect", "small")
    assert data["variants"]["main"]["windows"] == 4
    assert (rolled / "results" / "small" / "pred.parquet").read_bytes() == before


def test_collecting_with_holes_names_them_and_ends_with_4(rolled, capsys):
    with pool() as manager:
        manager.reset_status({"_id": "2"}, "waiting")
    sorted((rolled / ".rollwright").rglob("pred.parquet"))[0].unlink()
    kept = (rolled / "results" / "small" / "summary.json").read_bytes()
    assert run(["collect", "small"]) == 4
    told = capsys.readouterr().err
    assert "have no result that stands" in told
    assert f"{WINDOWS[1]}: it is waiting" in told
    assert "rollwright resume small" in told
    assert states().count("done") == 3
    assert (rolled / "results" / "small" / "summary.json").read_bytes() == kept


def test_only_some_windows_are_trained_and_the_rest_is_left_until_all_are(fresh):
    told: dict[str, object] = {}
    file = fresh / "small.yaml"
    terms = TrainingTerms(only=("2020-05", WINDOWS[3]))
    assert roll_here(file, terms=terms, on_progress=lambda what, value: told.update({what: value})) is None
    # In this process, where a market given as an object stays, `only` trains the chosen ones as anywhere.
    assert states() == ["done", "waiting", "waiting", "done"]
    assert [str(key) for key in told["left"]] == [*WINDOWS[1:3]]
    assert roll_here(file, terms=TrainingTerms(only=tuple(WINDOWS[1:3]))) is not None  # nothing is left now


@pytest.mark.slow
def test_only_the_windows_asked_for_are_trained_with_a_log_each_and_no_results_are_made_of_a_part(fresh, capfd):
    (fresh / "mine.py").write_text(OWN_MODEL)
    text = CAMPAIGN.replace(
        "class: LinearModel, module_path: rollwright.models.linear", "class: Told, module_path: mine.py"
    )
    (fresh / "small.yaml").write_text(text)
    assert run(["roll", "small.yaml", "--only", "2020-05", "--only", WINDOWS[2]]) == 0
    captured = capfd.readouterr()
    assert "2 windows left out" in captured.out
    assert "rollwright resume small" in captured.out
    assert "native words" not in captured.err + captured.out
    assert states() == ["done", "waiting", "done", "waiting"]
    assert not (fresh / "results" / "small" / "pred.parquet").exists()
    assert run(["logs", "small", "2020-05"]) == 0
    out = capfd.readouterr().out
    assert "told 2020-05-29\n" in out
    assert "native words\n" in out
    assert run(["logs"]) == 0
    listed = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [*WINDOWS]
    assert "not trained on this machine" in listed[1]
    # the first that fails ends it, and its traceback is in its log
    (fresh / "bad-2020-07-03").touch()
    assert run(["resume", "small", "--fail-fast", "--max-attempts", "1", "--jobs", "1"]) == 1
    assert f"task {WINDOWS[1]}: ValueError: no such price" in capfd.readouterr().err
    assert states() == ["done", "failed", "done", "waiting"]
    assert run(["logs", "small", WINDOWS[1]]) == 0
    assert "ValueError: no such price" in capfd.readouterr().out
    usage = read_usage(fresh / ".rollwright" / "logs" / "small")
    assert [one.task_id for one in usage] == ["1", "3", "2"] or {one.task_id for one in usage} == {"1", "2", "3"}
    assert all(one.seconds > 0 for one in usage)


UNREACHABLE = """\
from pathlib import Path
from rollwright.models.linear import LinearModel

class Unreachable(LinearModel):
    def fit(self, dataset, reweighter=None):
        with Path("tries").open("a") as file:
            file.write("x")
        raise ConnectionError("the licence server is away")
"""


def test_the_limit_of_attempts_is_that_of_the_command_given_last(fresh):
    (fresh / "mine.py").write_text(UNREACHABLE)
    text = CAMPAIGN.replace(
        "class: LinearModel, module_path: rollwright.models.linear", "class: Unreachable, module_path: mine.py"
    ).replace("kwargs: {estimator: ridge, alpha: 0.1}", "kwargs: {}")
    (fresh / "small.yaml").write_text(text)
    tried = []
    for attempts in (1, 2, 1):
        with pytest.raises(TaskFailedError, match="licence server"):
            roll_here(fresh / "small.yaml", terms=TrainingTerms(only=("2020-05",), max_attempts=attempts))
        tried.append(len((fresh / "tries").read_text()) - sum(tried))
        assert states() == ["failed", "waiting", "waiting", "waiting"]
    assert tried == [1, 2, 1]
    with pool() as manager:
        assert {record.max_attempts for record in manager.store.find("small")} == {1}


def test_a_log_is_bounded_and_says_what_it_lost(tmp_path, capfd):
    path = tmp_path / "logs" / "1.log"
    with collect_output(path, head="== one"):
        for number in range(120):
            os.write(1, f"{number:<60000}\n".encode())
    os.write(1, b"after\n")
    text = path.read_text()
    assert len(text) < MOST_BYTES
    assert text.startswith("== one\n0 ")
    assert "bytes left out" in text
    assert text.rstrip().endswith("119")
    assert capfd.readouterr().out == "after\n"
    with collect_output(path, head="== two"):
        os.write(1, b"again\n")
    assert path.read_text().endswith("== two\nagain\n")


def test_where_no_log_can_be_written_output_goes_where_it_went(tmp_path, capfd):
    (tmp_path / "logs").write_text("a file")
    with log_task_output(tmp_path / "logs", "1"):
        os.write(1, b"seen\n")
    with log_task_output(tmp_path, "../evil"):
        os.write(2, b"seen too\n")
    assert capfd.readouterr() == ("seen\n", "seen too\n")
    assert [path.name for path in tmp_path.iterdir() if "evil" in path.name] == []


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5h", 5400)])
def test_lengths_of_time_are_read_as_people_type_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("8", 8), ("8G", 8), ("512M", 0.512), ("1.5GiB", 1.610612736)])
def test_sizes_are_read_as_people_type_them(text, size):
    assert parse_memory(text) == pytest.approx(size)


@pytest.mark.parametrize(
    "option", [("--timeout", "soon"), ("--timeout", "0"), ("--mem-limit", "-1G"), ("--max-attempts", "0")]
)
def test_what_is_no_quantity_is_refused_before_anything_is_done(fresh, capsys, option):
    assert run(["roll", "small.yaml", *option]) == 2
    assert not (fresh / ".rollwright").exists()
