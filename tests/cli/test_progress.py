"""What a long job says: each line names what it is about."""

from __future__ import annotations

import pytest

from rollwright.campaign.plan import WindowKey
from rollwright.campaign.run import Submission
from rollwright.campaign.summary import TrainingCounts
from rollwright.cli.progress import CampaignProgress, describe_counts, tell_event
from rollwright.pool.worker.task_function import WorkerEvent

STOPPING = WorkerEvent(kind="stopping", task_id=None, slot=None, detail="up to 4 s")
DONE = WorkerEvent(kind="done", task_id="7", slot=0, detail="")


@pytest.mark.parametrize("tell", [tell_event, lambda event: CampaignProgress("c")("event", event)])
def test_what_is_about_the_worker_itself_names_no_window(capsys, tell):
    tell(STOPPING)
    assert capsys.readouterr().err == "worker stopping: up to 4 s\n"


def test_a_worker_that_knows_ids_only_speaks_of_tasks(capsys):
    tell_event(DONE)
    assert capsys.readouterr().err == "task 7 done\n"


def test_a_window_whose_model_is_kept_is_not_said_to_be_trained(capsys):
    keys = [WindowKey(variant="only", segment=f"2020-0{month}-01..2020-0{month}-28") for month in (1, 2)]
    ids = {keys[0]: "7", keys[1]: "8"}
    progress = CampaignProgress("c")
    progress("submitted", Submission(ids=ids, reused=(), stale=(), incomplete=((keys[0], "`pred.pkl` is damaged"),)))
    progress("event", DONE)
    progress("event", WorkerEvent(kind="done", task_id="8", slot=0, detail=""))
    progress("trained", TrainingCounts(trained=1, records_only=1, kept=0))
    assert capsys.readouterr().err.splitlines()[1:] == [
        f"records of window {keys[0]} done",
        f"window {keys[1]} done",
        "c: 1 model trained, 1 model kept and only records made anew",
    ]


@pytest.mark.parametrize(
    ("trained", "records_only", "kept", "line"),
    [
        (8, 0, 0, "8 models trained"),
        (0, 8, 0, "8 models kept and only records made anew"),
        (0, 0, 8, "nothing to train; 8 windows kept as finished before"),
        (1, 2, 1, "1 model trained, 2 models kept and only records made anew, 1 window kept as finished before"),
    ],
)
def test_the_end_says_how_many_models_were_trained(trained, records_only, kept, line):
    assert describe_counts(TrainingCounts(trained=trained, records_only=records_only, kept=kept)) == line
