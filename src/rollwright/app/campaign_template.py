"""A first campaign's file, made of what the market data have: ``rollwright init``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from rollwright.config.settings import load_settings
from rollwright.core.atomic import write_text
from rollwright.errors import ConfigError, DataNotFoundError, nearest
from rollwright.market.demo_facts import read_demo
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.view import view

__all__ = ["LANGUAGES", "MODELS", "REGIONS", "MarketFound", "NewCampaign", "find_market", "write_campaign"]

Language: TypeAlias = Literal["en", "zh"]
LANGUAGES: Final = ("en", "zh")
REGIONS: Final = ("cn", "us", "tw")
MODELS: Final = {
    "lightgbm": "{class: LGBModel, module_path: rollwright.models.lightgbm, kwargs: {num_boost_round: 200}}",
    "linear": "{class: LinearModel, module_path: rollwright.models.linear, kwargs: {estimator: ridge, alpha: 0.1}}",
    "xgboost": "{class: XGBModel, module_path: rollwright.models.xgboost, kwargs: {num_boost_round: 200}}",
    "catboost": "{class: CatBoostModel, module_path: rollwright.models.catboost, kwargs: {num_boost_round: 200}}",
}
_LEAST: Final = 250  # sessions: a year, of which the features of Alpha158 look back 60
_LOOK_BACK: Final = 60
_LEAST_HELD, _MOST_HELD = 5, 50
_TEMPLATE: Final = """\
# {head}
# yaml-language-server: $schema=rollwright.schema.json
qlib_init:
  provider_uri: {market}  # {about_market}
  region: {region}  # {about_region}
task:
  model: {model}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: Alpha158
        module_path: rollwright.dataset.alpha
        kwargs:
          instruments: {universe}  # {about_universe}
          label: ["Ref($close, -{exit})/Ref($close, -1) - 1"]  # {about_label}
          fit_start_time: <dataset.kwargs.segments.train.0>
          fit_end_time: <dataset.kwargs.segments.train.1>
          infer_processors: [{{class: Fillna, kwargs: {{fields_group: feature}}}}]
          learn_processors:  # {about_learn}
            - {{class: DropnaLabel}}
            - {{class: CSZScoreNorm, kwargs: {{fields_group: label}}}}
      segments:  # {about_segments}
        train: [{train[0]}, {train[1]}]
        valid: [{valid[0]}, {valid[1]}]
        test: [{test[0]}, {test[1]}]
rolling:
  step: {step}  # {about_step}
  rtype: sliding  # {about_rtype}
  trunc_days: auto  # {about_purge}
# {about_vary}
# vary: {{seed: [0, 1, 2]}}
# combine: average  # rank_mean, ic_weighted, none
# budget: {{tasks: 100, hours: 8}}  # {about_budget}
backtest: {{topk: {topk}, n_drop: {n_drop}}}  # {about_backtest}
report: {{lang: {lang}}}
"""
_WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "head": "A walk-forward campaign. Run it: rollwright roll {file}   What each key means: docs/yaml.md",
        "about_market": "sessions {first} to {last}",
        "about_region": "whose lots, price limits and days of a year count: cn, us or tw",
        "about_universe": "there are: {universes}",
        "about_label": "the return over {horizon} session(s), from tomorrow's close",
        "about_learn": "scaled within each day, or the models learn the moves of the market",
        "about_segments": "of the first window; the others follow",
        "about_step": "sessions a window moves",
        "about_rtype": "or expanding: train keeps its start",
        "about_purge": "no training label reads a price of test",
        "about_vary": "Several members: vary any key beneath task, and combine them.",
        "about_budget": "what one command trains at most",
        "about_backtest": "a tenth of the {members} instruments of the last session, 5 to 50",
    },
    "zh": {
        "head": "滚动训练。运行：rollwright roll {file}   各键的含义见 docs/yaml.md",
        "about_market": "交易日 {first} 至 {last}",
        "about_region": "交易单位、涨跌停与年交易日数按哪个市场：cn、us 或 tw",
        "about_universe": "可用的股票池：{universes}",
        "about_label": "从明日收盘起 {horizon} 个交易日的收益",
        "about_learn": "标签在每日之内标准化，否则树模型会去学大盘涨跌",
        "about_segments": "第一个窗口的区间，其余窗口依次后移",
        "about_step": "窗口每次移动的交易日数",
        "about_rtype": "或 expanding：训练起点不动",
        "about_purge": "训练标签不会读到测试段的价格",
        "about_vary": "多个成员：改变 task 下的任意键，并合成一个信号。",
        "about_budget": "一次命令最多训练多少",
        "about_backtest": "最后一个交易日 {members} 只标的的十分之一，5 至 50",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFound:
    """Market data that a campaign can be made for.

    Attributes
    ----------
    path : Path
    universes : tuple of str
    sessions : tuple of str
        Every session that has data, as a date.
    region : str
    """

    path: Path
    universes: tuple[str, ...]
    sessions: tuple[str, ...]
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCampaign:
    """What is asked of the user."""

    universe: str
    model: str = "lightgbm"
    horizon: int = 1
    step: int | None = None
    region: str = "cn"
    lang: Language = "en"


def find_market(market: Path | None, folder: Path) -> MarketFound:
    """Return the market data at `market`; if not given, those of the project's settings, or beneath `folder`.

    Raises
    ------
    DataNotFoundError
        When there are none.
    ConfigError
        When they have too few sessions for windows.
    """
    settings = load_settings(start=folder if folder.is_dir() else folder.parent)
    uri = settings.data.provider_uri
    wanted = [market] if market is not None else [settings.resolve(uri)] if uri is not None else []
    if not wanted:
        wanted = sorted(path.parent.parent for depth in ("", "*/") for path in folder.glob(f"{depth}calendars/day.txt"))
    path = next((one for one in wanted if (one / "calendars").is_dir()), None)
    if path is None:
        raise DataNotFoundError(
            wanted[0] if wanted else folder,
            "there is no folder of them",
            hint="name their folder: --market FOLDER; import some: rollwright data import; or see rollwright demo",
        )
    provider = QlibProvider(path)
    calendar = view(provider, settings).calendar()
    sessions = tuple(f"{session:%Y-%m-%d}" for session in calendar.to_index()[: calendar.known])
    if len(sessions) < _LEAST:
        raise ConfigError(f"{path} has {len(sessions)} sessions, and windows need {_LEAST} at least")
    region = "us" if read_demo(path) is not None else settings.data.region
    return MarketFound(path=path, universes=tuple(provider.universes()), sessions=sessions, region=region)


def write_campaign(file: Path, asked: NewCampaign, market: MarketFound) -> Path:
    """Write a campaign's file that rolls as it stands, and return it; a file that is there is left alone.

    Raises
    ------
    ConfigError
        When there is such a file, and for a model or a universe that is not there.
    """
    if file.exists():
        raise ConfigError(f"{file} is there already, and is left as it is", hint="name another file")
    for what, value, known in (
        ("model", asked.model, [*MODELS]),
        ("universe", asked.universe, market.universes),
        ("region", asked.region, REGIONS),
    ):
        if value not in known:
            near = nearest(value, known)
            hint = f"did you mean `{near}`?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"there is no {what} `{value}`", hint=hint)
    sessions = market.sessions
    size = len(sessions)
    begin, valid, test = min(_LOOK_BACK, size // 5), size // 2, size * 3 // 5
    words = _WORDS[asked.lang]
    folder = file.parent.resolve()
    path = market.path.resolve()
    members = _count_members(market, asked.universe)
    values = {
        "file": file.name,
        "first": sessions[0],
        "last": sessions[-1],
        "universes": ", ".join(market.universes[:8]),
        "horizon": asked.horizon,
        "members": members,
    }
    topk = max(1, min(members, _MOST_HELD, max(_LEAST_HELD, members // 10)))
    text = _TEMPLATE.format(
        **{key: text.format(**values) for key, text in words.items()},
        market=path.relative_to(folder) if path.is_relative_to(folder) else path,
        region=asked.region,
        model=MODELS[asked.model],
        universe=asked.universe,
        exit=asked.horizon + 1,
        train=(sessions[begin], sessions[valid - 1]),
        valid=(sessions[valid], sessions[test - 1]),
        test=(sessions[test], sessions[-1]),
        step=asked.step or max(5, (size - test) // 8),
        topk=topk,
        n_drop=max(1, topk // 5),
        lang=asked.lang,
    )
    write_text(file, text)
    return file


def _count_members(market: MarketFound, universe: str) -> int:
    """Return how many belong to the universe on the last session."""
    provider = QlibProvider(market.path)
    last = market.sessions[-1]
    return sum(
        any(f"{start:%Y-%m-%d}" <= last <= f"{end:%Y-%m-%d}" for start, end in spans)
        for spans in provider.members(universe).values()
    )
