"""The cases on which handlers, datasets and `D.features` are compared; both sides read them, so nothing is imported.

A case is plain data. ``SESSION[i]`` in a text stands for the market's session at ``i`` per mille of its calendar.
"""

import re

ROBUST = [
    {"class": "RobustZScoreNorm", "kwargs": {"fields_group": "feature", "clip_outlier": True}},
    {"class": "Fillna", "kwargs": {"fields_group": "feature"}},
]
LABEL_RANK = [{"class": "DropnaLabel"}, {"class": "CSRankNorm", "kwargs": {"fields_group": "label"}}]
LABEL_ZSCORE = [{"class": "DropnaLabel"}, {"class": "CSZScoreNorm", "kwargs": {"fields_group": "label"}}]
LABEL_ROBUST = [
    {"class": "DropnaLabel"},
    {"class": "CSZScoreNorm", "kwargs": {"fields_group": "label", "method": "robust"}},
]
ZSCORE = [{"class": "ProcessInf"}, {"class": "ZScoreNorm"}, {"class": "Fillna"}]
CROSS = [
    {"class": "CSZScoreNorm", "kwargs": {"fields_group": "feature"}},
    {"class": "CSZFillna", "kwargs": {"fields_group": "feature"}},
    {"class": "Fillna", "kwargs": {"fields_group": "feature", "fill_value": 0.5}},
]
WHOLE = {"instruments": "all", "start_time": "SESSION[0]", "end_time": "SESSION[1000]"}
INNER = {"instruments": "some", "start_time": "SESSION[150]", "end_time": "SESSION[950]"}
FIT = {"fit_start_time": "SESSION[200]", "fit_end_time": "SESSION[600]"}
SEGMENTS = {
    "train": ["SESSION[200]", "SESSION[600]"],
    "valid": ["SESSION[620]", "SESSION[750]"],
    "test": ["SESSION[770]", "SESSION[940]"],
}
RAW = [[None, "__raw", "raw"]]
KEYS = [[None, "__raw", "raw"], [None, "__raw", "infer"], [None, "__raw", "learn"]]
PREPARED = [
    ["train", "__raw", "learn"],
    ["valid", ["feature", "label"], "learn"],
    ["test", "feature", "infer"],
    ["test", "__all", "infer"],
    ["test", "label", "raw"],
]


def _handler(name, handler, kwargs, fetches):
    return {
        "name": name,
        "kind": "handler",
        "handler": handler,
        "kwargs": kwargs,
        "segments": SEGMENTS,
        "fetches": fetches,
    }


def _series(name, fillna_type):
    """Time series of samples: the first fetch gives the raw frame, the others samplers."""
    case = _handler(name, "Alpha158", {**INNER, **FIT, "infer_processors": ROBUST}, [])
    return {**case, "kind": "series", "step_len": 6, "fillna_type": fillna_type, "sampled": ["train", "test"]}


def _features(name, fields, **kwargs):
    return {"name": name, "kind": "features", "fields": fields, "kwargs": {"freq": "day", **kwargs}}


FIELDS = ["$close", "$volume", "Mean($close, 5)/$close", "$close>Ref($close, 1)", "Ref($close, -2)/Ref($close, -1)-1"]
SURVIVORS = {
    "class": "TimeRangeFlt",
    "module_path": "PROCESSORS",
    "kwargs": {"start_time": "SESSION[300]", "end_time": "SESSION[700]"},
}

CASES = [
    _handler("Alpha158 as it comes", "Alpha158", WHOLE, KEYS + PREPARED),
    _handler(
        "Alpha158, robust scores, ranked label",
        "Alpha158",
        {**WHOLE, **FIT, "infer_processors": ROBUST, "learn_processors": LABEL_RANK},
        KEYS + PREPARED,
    ),
    _handler(
        "Alpha158, the same, independent",
        "Alpha158",
        {
            **WHOLE,
            **FIT,
            "infer_processors": ROBUST,
            "learn_processors": LABEL_ZSCORE,
            "process_type": "independent",
        },
        KEYS + PREPARED,
    ),
    _handler(
        "Alpha158, scores of the day, a universe with lifetimes",
        "Alpha158",
        {**INNER, "infer_processors": CROSS, "learn_processors": LABEL_ROBUST},
        KEYS + PREPARED,
    ),
    _handler(
        "Alpha158, scores of the fit range, a universe with lifetimes",
        "Alpha158",
        {**INNER, **FIT, "infer_processors": ZSCORE, "learn_processors": LABEL_ZSCORE},
        KEYS,
    ),
    _handler(
        "Alpha158vwap, a price span of the fit range",
        "Alpha158vwap",
        {
            **WHOLE,
            **FIT,
            "infer_processors": [{"class": "MinMaxNorm", "kwargs": {"fields_group": "feature"}}],
            "learn_processors": [{"class": "DropnaProcessor", "kwargs": {"fields_group": "label"}}],
        },
        KEYS,
    ),
    _handler("Alpha360 as it comes", "Alpha360", {**WHOLE, **FIT}, KEYS + PREPARED),
    _handler(
        "Alpha360, robust scores, ranked label",
        "Alpha360",
        {**INNER, **FIT, "infer_processors": ROBUST, "learn_processors": LABEL_RANK},
        KEYS,
    ),
    _series("samples in series, filled forwards and back", "ffill+bfill"),
    _series("samples in series, with gaps", "none"),
    _features("features of everybody", FIELDS, instruments="all"),
    _features("features in a range", FIELDS, instruments="all", start_time="SESSION[400]", end_time="SESSION[500]"),
    _features("features of a universe with lifetimes", FIELDS, instruments="some", start_time="SESSION[100]"),
    _features(
        "features of survivors",
        FIELDS,
        instruments="all",
        start_time="SESSION[250]",
        end_time="SESSION[800]",
        inst_processors=[SURVIVORS],
    ),
]


def resolved(value, sessions, processors):
    """Return a case with sessions (texts) in place of ``SESSION[i]`` and a module in place of ``PROCESSORS``."""
    if isinstance(value, dict):
        return {name: resolved(item, sessions, processors) for name, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, sessions, processors) for item in value]
    if value == "PROCESSORS":
        return processors
    found = re.fullmatch(r"SESSION\[(\d+)\]", value) if isinstance(value, str) else None
    return sessions[(len(sessions) - 1) * int(found.group(1)) // 1000] if found else value
