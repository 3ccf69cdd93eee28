"""Every door to a market, tried: two markets that are alike before the holdout and other from there on.

Each door answers differently for the two without the seal, so that it does see the holdout, and alike with it. A date
that is named is answered without the seal and refused with it.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rollwright import AsOf, D, DatasetH, FrameSource, RollingGen, TimeAdjuster, TSDatasetH, backtest_daily
from rollwright.analysis.given_signal import compute_label, find_label, fit_to_market
from rollwright.app.cache import list_cache
from rollwright.app.data import check_market, describe_market
from rollwright.backtest.daily import backtest
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.calendar.files import current_calendar
from rollwright.config.context import current_settings, open_part, using
from rollwright.config.settings import load_settings
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.loader import DataLoader, DataLoaderDH, NestedDataLoader, QlibDataLoader, StaticDataLoader
from rollwright.dataset.processors import DropnaLabel, Fillna, TimeRangeFlt, ZScoreNorm
from rollwright.errors import HoldoutSealedError
from rollwright.features.panel import FieldGroup, open_panel
from rollwright.features.store.feature_store import FeatureStore
from rollwright.market.current import choose_market, current_market, open_market
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.market.price_jumps import find_price_jumps

SESSIONS, SEALED = 80, 60
DAYS = pd.bdate_range("2020-01-01", periods=SESSIONS)
FROM, LATER = f"{DAYS[SEALED]:%Y-%m-%d}", f"{DAYS[SEALED + 5]:%Y-%m-%d}"
EVE = DAYS[SEALED - 1]
LABEL = "Ref($close, -2)/Ref($close, -1) - 1"
FIELDS = {"feature": [["$close/Ref($close, 3)", "Mean($volume, 4)"], ["MOM", "VOL"]], "label": [[LABEL], ["LABEL0"]]}
GROUPS = tuple(
    FieldGroup(group=name, expressions=tuple(texts), names=tuple(names)) for name, (texts, names) in FIELDS.items()
)


def rows(*, other: bool) -> pd.DataFrame:
    """Return prices of six instruments; with `other` everything from the holdout on is another market."""
    noise = np.random.default_rng(3)
    close = 10 * np.exp(np.cumsum(noise.normal(0, 0.02, (SESSIONS, 6)), axis=0))
    volume = noise.uniform(1e5, 1e6, (SESSIONS, 6))
    if other:
        close[SEALED:] *= noise.uniform(0.2, 5, (SESSIONS - SEALED, 6))
        volume[SEALED:] *= 3
    made = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": volume}
    made["factor"] = np.ones_like(close)
    index = pd.MultiIndex.from_product([DAYS, [f"S{n}" for n in range(6)]], names=["datetime", "instrument"])
    frame = pd.DataFrame({name: values.ravel() for name, values in made.items()}, index=index)
    codes, days = index.get_level_values(1), index.get_level_values(0)
    listed = (codes != "S5") | (other & (days >= DAYS[SEALED + 4]))
    return frame[listed & ((codes != "S4") | (days < DAYS[SEALED + (6 if other else 12)]))]


@dataclass
class World:
    """A project with one of the two markets."""

    folder: Path
    other: bool

    def settings(self, *, sealed: bool) -> Any:
        project = self.folder.parent / f"{self.folder.name}-{'sealed' if sealed else 'open'}"
        project.mkdir(exist_ok=True)
        lines = ["[data]", f"provider_uri = {json.dumps(str(self.folder))}", 'region = "us"', "kernels = 1"]
        (project / "rollwright.toml").write_text("\n".join([*lines, f'holdout = ["{FROM}", "open"]' if sealed else ""]))
        return load_settings(start=project)

    @property
    def frame(self) -> pd.DataFrame:
        return rows(other=self.other)

    def labelled(self) -> pd.DataFrame:
        """Return a table of a user's own, with labels that look ahead."""
        close = self.frame["close"].unstack()
        columns = {("feature", "own"): close / 10, ("label", "LABEL0"): close.shift(-2) / close.shift(-1) - 1}
        made = pd.concat({name: values.stack() for name, values in columns.items()}, axis=1).sort_index()
        return made.dropna(how="all")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    place = tmp_path_factory.mktemp("doors")
    made = []
    for other in (False, True):
        folder = place / ("other" if other else "one")
        import_market(rows(other=other).reset_index(), folder)
        made.append(World(folder=folder, other=other))
    return made


class OwnLoader(DataLoader):
    """A loader of a user's own, whose data come from anywhere."""

    label_lookahead = 2

    def __init__(self, frame):
        self.frame = frame

    def load(self, instruments=None, start_time=None, end_time=None):
        return self.frame


def handler(**kwargs: Any) -> DataHandlerLP:
    return DataHandlerLP(
        **{"instruments": "all", "data_loader": QlibDataLoader(FIELDS), **kwargs},
        infer_processors=[ZScoreNorm(None, None, fields_group="feature"), Fillna(fields_group="feature")],
        learn_processors=[DropnaLabel()],
    )


def fetched(made: DataHandlerLP) -> list[Any]:
    return [made.fetch(data_key=key, col_set="__raw") for key in ("raw", "infer", "learn")]


def dataset(kind: Any = DatasetH, **kwargs: Any) -> Any:
    return kind(handler=handler(), segments={"train": (DAYS[5], DAYS[30]), "test": (DAYS[35], None)}, **kwargs)


def half(frame: pd.DataFrame, instrument: str) -> pd.DataFrame:
    return frame / 2


def every_row(panel: Any) -> pd.DataFrame:
    return panel.table(0, len(panel.dates)).to_frame()


def given_to_the_context(world: World) -> pd.DataFrame:
    with using(market=FrameSource(world.frame)):
        return D.features("all", ["$close"])


def with_periods(world: World) -> FrameSource:
    known = pd.DataFrame(
        [("S0", 201904, DAYS[3], 1.0), ("S0", 202001, DAYS[SEALED], 2.0 + world.other)],
        columns=["instrument", "period", "known_at", "value"],
    )
    return FrameSource(world.frame, by_period={"roe_q": known})


# What each door gives for a project's market; some are given the market as an object that nobody has sealed.
ANSWERS = {
    "D.list_instruments": lambda _: D.list_instruments("all"),
    "D.list_instruments of codes": lambda _: D.list_instruments(None, as_list=True),
    "D.features": lambda _: D.features("all", ["$close", "CSRank($volume)"]),
    "D.features of the store": lambda _: D.features("all", ["$close"], disk_cache=1),
    "D.features with a processor": lambda _: D.features("all", ["$close"], inst_processors=[half]),
    "a label": lambda _: D.features("all", [LABEL], end_time=EVE),
    "a filter": lambda _: D.list_instruments(
        {"market": "all", "filter_pipe": [{"filter_type": "ExpressionDFilter", "rule_expression": "$close > 10"}]}
    ),
    "a handler": lambda _: fetched(handler()),
    "a handler up to the last session": lambda _: fetched(handler(end_time=EVE)),
    "a handler over a given source": lambda world: fetched(handler(source=QlibProvider(world.folder))),
    "a handler, by instrument": lambda _: handler().fetch(["S1"], level="instrument"),
    "a loader": lambda _: QlibDataLoader(FIELDS).load("all"),
    "a loader with a processor": lambda _: QlibDataLoader(FIELDS, inst_processors=[half]).load("all"),
    "a filter of time": lambda _: QlibDataLoader(FIELDS, inst_processors=[TimeRangeFlt(None, EVE)]).load("all"),
    "a table of one's own": lambda world: fetched(
        handler(instruments=None, data_loader=StaticDataLoader(world.labelled(), label_lookahead=2))
    ),
    "a table of one's own, loaded": lambda world: StaticDataLoader(world.labelled(), label_lookahead=2).load(),
    "joined loaders": lambda world: fetched(
        handler(
            data_loader=NestedDataLoader(
                [QlibDataLoader(FIELDS), StaticDataLoader(world.labelled(), label_lookahead=2)]
            )
        )
    ),
    "a loader of handlers": lambda _: fetched(handler(instruments=None, data_loader=DataLoaderDH(handler()))),
    "a loader of one's own": lambda world: fetched(
        handler(instruments=None, data_loader=OwnLoader(world.labelled()))
    ),
    "a frame in a handler": lambda world: DataHandlerLP.from_df(world.frame).fetch(),
    "a dataset": lambda _: dataset().prepare("test", col_set=["feature", "label"]),
    "a dataset of sequences": lambda _: list(dataset(TSDatasetH, step_len=5).prepare("test")),
    "rows to predict": lambda _: dataset().inference_index("test").tolist(),
    "the market": lambda _: current_market().load(["close"], ["S0"], 0, current_market().calendar().known),
    "the market's universe": lambda _: current_market().members("all"),
    "the market of settings": lambda _: open_market(current_settings()).instruments(),
    "a source that is given": lambda world: choose_market(FrameSource(world.frame)).bounds(["S0", "S4"]),
    "a market that the context is given": given_to_the_context,
    "the part of the context": lambda _: open_part("market").bounds(["S4"]),
    "a viewpoint": lambda world: choose_market(AsOf(FrameSource(world.frame), LATER)).members("all"),
    "the feature store": lambda world: FeatureStore.temporary()
    .matrix([LABEL], QlibProvider(world.folder), allow_lookahead=True)
    .values,
    "a panel": lambda world: every_row(
        open_panel(GROUPS, QlibProvider(world.folder), FeatureStore.temporary(), instruments="all")
    ),
    "a label of a given signal": lambda world: compute_label(
        LABEL, pd.MultiIndex.from_product([DAYS[5:SEALED], ["S0", "S1"]], names=["datetime", "instrument"]),
        FrameSource(world.frame),
    ).values.to_numpy(),
    "jumps of prices": lambda _: find_price_jumps(current_market()),
    "vintages": lambda world: choose_market(with_periods(world)).vintages("roe_q", ["S0"]).value,
    "data info": lambda _: [describe_market().instruments, describe_market().generation],
    "data info of a folder": lambda world: describe_market(world.folder).universes,
    "data check": lambda _: check_market().findings,
    "data check of a folder": lambda world: check_market(world.folder).findings,
}  # fmt: skip


def text_of(answer: Any) -> str:
    """Return an answer as text that tells every value; what only names the folder is left out."""
    if isinstance(answer, pd.DataFrame):
        return f"{answer.index.tolist()}{answer.columns.tolist()}{answer.to_numpy().tobytes().hex()}"
    if isinstance(answer, np.ndarray):
        return f"{answer.shape}{answer.tobytes().hex()}"
    if isinstance(answer, list):
        return "\n".join(map(text_of, answer))
    return repr(answer)


def ask(door: Any, world: World, *, sealed: bool) -> str:
    with using(world.settings(sealed=sealed)):
        return text_of(door(world))


@pytest.mark.parametrize("name", ANSWERS)
def test_no_answer_knows_anything_of_the_holdout(worlds, name):
    plain = [ask(ANSWERS[name], world, sealed=False) for world in worlds]
    assert plain[0] != plain[1], "this door never saw the holdout, so that the test proves nothing"
    sealed = [ask(ANSWERS[name], world, sealed=True) for world in worlds]
    if name == "data info":  # the identity of the folder is that of its files; what is read is what the seal leaves
        sealed = [text.rpartition("\n")[0] for text in sealed]
    assert sealed[0] == sealed[1]


# The last session that each door knows of.
ENDS = {
    "D.calendar": lambda _: D.calendar()[-1],
    "D.calendar with future sessions": lambda _: D.calendar(future=True)[-1],
    "D.features": lambda _: D.features("all", ["$close"]).index.get_level_values("datetime").max(),
    "TimeAdjuster": lambda _: TimeAdjuster().max(),
    "TimeAdjuster without future sessions": lambda _: TimeAdjuster(future=False).max(),
    "the current calendar": lambda _: current_calendar(future=True).last,
    "windows": lambda _: max(
        pd.Timestamp(end)
        for task in windows()
        for pair in task["dataset"]["kwargs"]["segments"].values()
        for end in pair
        if end
    ),
    "data info": lambda _: pd.Timestamp(describe_market().last),
    "a handler's dates": lambda _: handler().panel.dates[-1],
    "a table of one's own": lambda world: StaticDataLoader(world.labelled()).load().index.levels[0].max(),
}


def windows(end: Any = None) -> list[dict[str, Any]]:
    segments = {"train": (DAYS[2], DAYS[20]), "test": (DAYS[24], end)}
    template = {"model": {"class": "LGBModel"}, "dataset": {"class": "DatasetH", "kwargs": {"segments": segments}}}
    return RollingGen(step=8).generate(template)


@pytest.mark.parametrize("name", ENDS)
def test_what_has_no_end_ends_before_the_holdout(worlds, name):
    for sealed in (False, True):
        with using(worlds[0].settings(sealed=sealed)):
            last = ENDS[name](worlds[0])
        assert (last < DAYS[SEALED]) == sealed


def scores(last: Any = EVE) -> pd.Series:
    index = pd.MultiIndex.from_product([DAYS[(DAYS[30] <= DAYS) & (last >= DAYS)], ["S0", "S1", "S2"]])
    return pd.Series(np.random.default_rng(1).normal(size=len(index)), index.set_names(["datetime", "instrument"]))


def fit_later() -> Any:
    made = handler()
    made.infer_processors[0].fit_end_time = LATER
    return made.fetch()


TOPK = TopkDropoutStrategy(topk=1, n_drop=1)
# What names a sealed session, or lies wholly among them.
NAMED = {
    "D.calendar": lambda _: D.calendar(end_time=LATER),
    "D.calendar from it on": lambda _: D.calendar(start_time=LATER),
    "D.calendar with future sessions": lambda _: D.calendar(end_time=LATER, future=True),
    "D.list_instruments": lambda _: D.list_instruments("all", end_time=LATER),
    "D.features": lambda _: D.features("all", ["$close"], end_time=LATER),
    "D.features wholly inside": lambda _: D.features("all", ["$close"], start_time=LATER),
    "D.features of a period": lambda _: D.features("all", ["$close"], end_time="2020"),
    "D.features of the store": lambda _: D.features("all", ["$close"], end_time=LATER, disk_cache=1),
    "lifetimes": lambda _: D.features({"S0": [(DAYS[0], LATER)]}, ["$close"]),
    "a filter": lambda _: D.list_instruments(
        {"market": "all", "filter_pipe": [
            {"filter_type": "NameDFilter", "name_rule_re": "S0", "filter_start_time": DAYS[0], "filter_end_time": LATER}
        ]}
    ),
    "a handler": lambda _: handler(end_time=LATER).fetch(),
    "a handler over a given source": lambda world: handler(source=FrameSource(world.frame), end_time=LATER).fetch(),
    "a handler of a frame": lambda world: handler(
        instruments=None, data_loader=StaticDataLoader(world.labelled()), end_time=LATER
    ).fetch(),
    "a range of rows": lambda _: handler().fetch(slice(DAYS[3], LATER)),
    "a session of rows": lambda _: handler().fetch(LATER),
    "pairs of rows": lambda _: handler().fetch((DAYS[3], LATER)),
    "rows by loc": lambda _: handler().fetch(slice(None, LATER), level=None),
    "a list of rows": lambda _: handler().fetch([DAYS[3], pd.Timestamp(LATER)]),
    "an index of rows": lambda _: handler().fetch(pd.MultiIndex.from_product([[pd.Timestamp(LATER)], ["S0"]])),
    "sessions up to one": lambda _: handler().get_range_selector(pd.Timestamp(LATER), 3),
    "a fit range": lambda _: fit_later(),
    "a segment": lambda _: DatasetH(handler=handler(), segments={"test": (DAYS[30], LATER)}).prepare("test"),
    "a slice of a dataset": lambda _: dataset().prepare(slice(DAYS[30], LATER)),
    "a slice of sequences": lambda _: dataset(TSDatasetH, step_len=5).prepare(slice(DAYS[30], LATER)),
    "rows to predict": lambda _: dataset().inference_index(slice(DAYS[30], LATER)),
    "a loader": lambda _: QlibDataLoader(FIELDS).load("all", end_time=LATER),
    "a table of one's own": lambda world: StaticDataLoader(world.labelled()).load(end_time=LATER),
    "a filter of time": lambda _: TimeRangeFlt(None, LATER),
    "windows": lambda _: windows(LATER),
    "TimeAdjuster": lambda _: TimeAdjuster().align_time(LATER, "end"),
    "a back-test up to it": lambda _: backtest(TOPK, scores(), end=LATER),
    "a back-test from it on": lambda _: backtest(TOPK, scores(LATER), start=LATER),
    "predictions of it": lambda _: backtest(TOPK, scores(LATER)),
    "a back-test over a given source": lambda world: backtest(TOPK, scores(LATER), FrameSource(world.frame)),
    "a given signal": lambda world: fit_to_market(scores(LATER), FrameSource(world.frame)),
    "a given signal with given labels": lambda _: find_label(scores(LATER), scores(LATER), None),
    "backtest_daily": lambda _: backtest_daily(
        DAYS[31], LATER, TopkDropoutStrategy(topk=1, n_drop=1, signal=scores()), benchmark=None
    ),
    "a viewpoint": lambda _: AsOf(current_market(), LATER),
    "the market": lambda _: current_market().load(["close"], ["S0"], SEALED, SEALED + 1),
    "the market's calendar": lambda _: current_market().calendar().index(LATER),
    "a panel": lambda world: open_panel(
        GROUPS, QlibProvider(world.folder), FeatureStore.temporary(), instruments="all", end_time=LATER
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_a_sealed_session_that_is_named_is_refused(worlds, name):
    with using(worlds[0].settings(sealed=False)):
        NAMED[name](worlds[0])
    with using(worlds[0].settings(sealed=True)), pytest.raises(HoldoutSealedError) as caught:
        NAMED[name](worlds[0])
    assert (caught.value.start, caught.value.end) == (FROM, "open")
    assert caught.value.origin.startswith("rollwright.toml")


def test_what_ends_before_the_holdout_is_answered_as_ever(worlds):
    world = worlds[0]
    ends = {"end_time": DAYS[SEALED - 5]}
    seen = []
    for sealed in (False, True):
        with using(world.settings(sealed=sealed)):
            seen.append(
                text_of(
                    [
                        D.calendar(**ends).astype("datetime64[s]"),
                        D.features("all", ["$close", LABEL], **ends),
                        *fetched(handler(**ends)),
                        backtest(TOPK, scores(DAYS[SEALED - 5])).report,
                        StaticDataLoader(world.labelled(), label_lookahead=2).load(**ends),
                    ]
                )
            )
    assert seen[0] == seen[1]


# -- what was there before the sealing -----------------------------------------------------------------------------


def seal_after(world: World, folder: Path, before: Any) -> Any:
    """Let `before` work in a project, then seal it; return what it gave and the settings."""
    folder.mkdir()
    file = folder / "rollwright.toml"
    text = f'[data]\nprovider_uri = {json.dumps(str(world.folder))}\nregion = "us"\nkernels = 1\n'
    file.write_text(text, encoding="utf-8")
    with using(load_settings(start=folder)):
        made = before()
    file.write_text(f'{text}holdout = ["{FROM}", "open"]\n', encoding="utf-8")
    return made, load_settings(start=folder)


def test_features_kept_before_the_sealing_are_not_shown(worlds, tmp_path):
    seen = []
    for world in worlds:
        before, settings = seal_after(world, tmp_path / world.folder.name, lambda: fetched(handler()))
        with using(settings):
            now = fetched(handler())
            states = {file.state for file in list_cache().files}
        assert text_of(before) != text_of(now)
        assert states == {"current", "stale"}
        seen.append(text_of(now))
    assert seen[0] == seen[1] == ask(lambda _: fetched(handler()), worlds[0], sealed=True)


def test_a_handler_that_was_opened_before_is_refused(worlds, tmp_path):
    def open_handler():
        made = handler()
        made.fetch()
        return made

    made, settings = seal_after(worlds[0], tmp_path / "project", open_handler)
    with using(settings), pytest.raises(HoldoutSealedError, match="before the sealing"):
        made.fetch(slice(None, EVE))


def test_a_handler_that_was_cast_before_is_cut_with_its_labels(worlds, tmp_path):
    cast, settings = seal_after(worlds[0], tmp_path / "project", lambda: DataHandlerLP.cast(handler()))
    with using(settings):
        raw = pickle.loads(pickle.dumps(cast)).fetch(data_key="raw", col_set="__raw")
        alone = handler().fetch(data_key="raw", col_set="__raw")
    pd.testing.assert_frame_equal(raw, alone, check_freq=False)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_labels_of_a_table_that_read_into_the_holdout_are_missing(worlds, depth):
    with using(worlds[0].settings(sealed=True)):
        made = StaticDataLoader(worlds[0].labelled(), label_lookahead=depth).load()
    days = made.index.get_level_values("datetime")
    known = made["label", "LABEL0"].notna()
    assert not known[days > DAYS[SEALED - 1 - depth]].any()
    assert known[days == DAYS[SEALED - 1 - depth]].any()
    assert made["feature", "own"].notna().all()
