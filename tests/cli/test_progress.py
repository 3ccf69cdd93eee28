"""What a long job says: each line names what it is about."""

from __future__ import annotations

import pytest

from rollwright.cli.progress import CampaignProgress, tell_event
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
