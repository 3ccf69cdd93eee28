"""Values at the edge of what a query may ask for."""

from __future__ import annotations

import numpy as np
import pytest

from rollwright.errors import QueryError
from rollwright.pool.query import In, parse, selection
from rollwright.pool.states import parse_status
from rollwright.pool.store import NewTask


@pytest.mark.parametrize("value", [np.array(["waiting", "done"]), b"waiting", 1, None, ["waiting"]])
def test_only_a_text_names_a_state(value):
    with pytest.raises(QueryError, match="is no state of a task"):
        parse_status(value)
    with pytest.raises(QueryError, match="is no state of a task"):
        parse({"status": value})


@pytest.mark.parametrize("task_id", ["9" * 18, "9" * 19, "9" * 30])
def test_an_id_beyond_all_numbers_is_that_of_no_task(store, task_id):
    """As `--only` of a worker may name it; 2**63 has 19 digits."""
    store.put("p", [NewTask.of({"x": 1})])
    for query in (selection(None, [task_id], ()), In(path=("_id",), values=(task_id, "1"))):
        found = [record.task_id for record in store.find("p", query)]
        assert found == (["1"] if "1" in query.values else [])
