"""Frames as bare arrays in one file, so that both sides may have their own pandas. Imported by both."""

import json

import numpy as np
import pandas as pd


def save(path, frame):
    """Write a frame with the levels datetime and instrument, in whatever order."""
    index = frame.index
    labels = {name: index.get_level_values(name) for name in index.names}
    head = {
        "levels": list(index.names),
        "columns": [list(name) if isinstance(name, tuple) else name for name in frame.columns],
        "dtypes": [str(dtype) for dtype in frame.dtypes],
    }
    np.savez(
        path,
        head=np.array(json.dumps(head)),
        values=frame.to_numpy(dtype=np.float64),
        datetime=pd.DatetimeIndex(labels["datetime"]).as_unit("s").to_numpy().astype(np.int64),
        instrument=np.asarray(labels["instrument"], dtype=str),
    )


def load(path):
    """Return a frame of float64 and its original dtypes."""
    with np.load(path, allow_pickle=False) as found:
        head = json.loads(str(found["head"]))
        labels = {
            "datetime": pd.DatetimeIndex(found["datetime"].astype("datetime64[s]")),
            "instrument": pd.Index(found["instrument"].astype(object)),
        }
        names = [tuple(name) if isinstance(name, list) else name for name in head["columns"]]
        columns = pd.MultiIndex.from_tuples(names) if names and isinstance(names[0], tuple) else pd.Index(names)
        index = pd.MultiIndex.from_arrays([labels[level] for level in head["levels"]], names=head["levels"])
        return pd.DataFrame(found["values"], index=index, columns=columns), head["dtypes"]


def sampled(sampler, step_len):
    """Return the samples of a sampler as a frame: a row for each, a column for each step and field."""
    values = np.stack([np.asarray(sampler[place]) for place in range(len(sampler))])
    steps, fields = values.shape[1:]
    assert steps == step_len
    index = sampler.get_index()
    columns = [f"{step}/{field}" for step in range(steps) for field in range(fields)]
    return pd.DataFrame(values.reshape(len(values), -1), index=index, columns=columns)
