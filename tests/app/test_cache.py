"""`rollwright cache`: what the store holds, and what may go; nothing that is open, nothing that is still right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from rollwright.app.cache import list_cache, plan_pruning, prune_cache
from rollwright.cli.cache import cache_app
from rollwright.config.context import C, init
from rollwright.errors import ConfigError, DataNotFoundError
from rollwright.features.store.feature_store import FeatureStore
from rollwright.market.folder.provider import provider_from_settings
from rollwright.market.ingest.importer import import_market
from rollwright.market.ingest.periods.period_import import import_periods

DAYS = pd.bdate_range("2021-01-04", periods=60)
NOW = datetime(2026, 5, 4, tzinfo=UTC)


class At:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW


@pytest.fixture(autouse=True)
def market(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    frame = pd.concat(
        pd.DataFrame({"symbol": code, "date": DAYS, "close": rng.lognormal(2, 0.1, len(DAYS)), "open": 1.0})
        for code in ("A", "B", "C")
    )
    import_market(frame, tmp_path / "market")
    init(provider_uri=str(tmp_path / "market"))
    C["store.path"] = str(tmp_path / "store")


def build(*expressions: str, days_ago: float = 0) -> Path:
    """Build a matrix, let go of it, and let its last use lie back; return its folder."""
    folder = FeatureStore.from_settings().matrix(expressions, provider_from_settings()).folder
    for header in folder.glob("*.json"):
        used = (NOW - timedelta(days=days_ago)).timestamp()
        os.utime(header, (used, used))
    return folder


def revise() -> None:
    """Import one more session."""
    root = provider_from_settings().root
    import_market(pd.DataFrame({"symbol": "A", "date": ["2021-05-03"], "close": [9.0], "open": [1.0]}), root)


def expressions(files) -> list[str]:
    return [file.expression for file in files]


def run(*words: str, **kwargs):
    return CliRunner().invoke(cache_app, list(words), **kwargs)


def test_an_empty_store_holds_nothing() -> None:
    assert list_cache().files == ()
    done = run("ls")
    assert done.exit_code == 0
    assert "nothing is stored" in done.stdout


def test_files_are_listed_with_what_they_are_the_longest_unused_first() -> None:
    build("$close", days_ago=3)
    build("$open", "$close/$open", days_ago=5)
    listing = list_cache()
    assert [(file.expression, file.columns, file.rows, file.size) for file in listing.files] == [
        ("$open", 2, 180, 1440),
        ("$close", 1, 180, 720),
    ]
    assert [file.last_used for file in listing.files] == ["2026-04-29T00:00:00Z", "2026-05-01T00:00:00Z"]
    assert {(file.freq, file.universe, file.state, file.in_use) for file in listing.files} == {
        ("day", "series", "current", False)
    }
    assert (listing.size, listing.limit) == (2160, None)
    shown = run("ls").stdout
    assert "1.4 kB" in shown
    assert "series: $open and 1 more" in shown
    assert "2 files, 2.2 kB" in shown


def test_json_carries_every_field() -> None:
    build("$close")
    C["store.max_size"] = 0.5
    body = json.loads(run("ls", "--json").stdout)
    assert body["ok"] is True
    assert body["data"]["limit"] == 500_000_000
    assert body["data"]["files"][0]["expression"] == "$close"
    assert body["data"]["files"][0]["state"] == "current"


def test_what_was_computed_from_earlier_data_is_stale() -> None:
    build("$close")
    revise()
    build("$open")
    assert {file.expression: file.state for file in list_cache().files} == {"$close": "stale", "$open": "current"}
    done = prune_cache(plan_pruning(stale=True))
    assert expressions(done.files) == ["$close"]
    assert expressions(list_cache().files) == ["$open"]


def test_a_restatement_makes_stale_what_read_it_and_computes_nothing_daily_again(caplog) -> None:
    root = provider_from_settings().root
    reports = {"field": ["x_q"], "instrument": ["A"], "period": [202004], "date": ["2021-02-01"], "value": [1.0]}
    import_periods(pd.DataFrame(reports), root)
    build("$close")
    build("P($$x_q)")
    assert {file.expression: file.state for file in list_cache().files} == {"$close": "current", "P($$x_q)": "current"}
    import_periods(pd.DataFrame(reports | {"date": ["2021-03-01"], "value": [2.0]}), root)
    caplog.set_level("INFO", logger="rollwright.features")
    build("$close")
    assert {file.expression: file.state for file in list_cache().files} == {"$close": "current", "P($$x_q)": "stale"}
    built = [record.getMessage() for record in caplog.records if "features.built" in record.getMessage()]
    assert all(f"from_session={len(DAYS)}" in line for line in built)


def test_without_market_data_nothing_can_be_called_stale(tmp_path: Path) -> None:
    build("$close")
    C["data.provider_uri"] = str(tmp_path / "nowhere")
    assert [file.state for file in list_cache().files] == ["unknown"]
    with pytest.raises(DataNotFoundError, match="no data at"):
        plan_pruning(stale=True)


def test_older_than_counts_from_the_last_use() -> None:
    build("$close", days_ago=31)
    build("$open", days_ago=29)
    plan = plan_pruning(older_than=30, clock=At())
    assert expressions(plan.files) == ["$close"]
    assert len(list_cache().files) == 2
    build("$close")
    assert plan_pruning(older_than=30, clock=At()).files == ()


def test_using_a_matrix_again_is_a_use(tmp_path: Path) -> None:
    build("$close", days_ago=400)
    FeatureStore.from_settings().matrix(["$close"], provider_from_settings())
    assert plan_pruning(older_than=300).files == ()


def test_a_size_is_kept_by_dropping_the_longest_unused() -> None:
    for place, text in enumerate(("$close", "$open", "$close+1", "$open+1")):
        build(text, days_ago=place)
    done = prune_cache(plan_pruning(max_size=1.5e-6))
    assert done.size == 1440
    assert expressions(list_cache().files) == ["$open", "$close"]
    assert prune_cache(plan_pruning(max_size=1.5e-6)).files == ()


def test_the_settings_limit_is_the_default_and_without_any_there_is_nothing_to_do() -> None:
    build("$close")
    with pytest.raises(ConfigError, match="nothing says what is to go"):
        plan_pruning()
    C["store.max_size"] = 1e-9
    assert expressions(plan_pruning().files) == ["$close"]


@pytest.mark.parametrize("wrong", [{"older_than": -1}, {"max_size": -1}, {"max_size": float("nan")}])
def test_numbers_that_mean_nothing_are_refused(wrong) -> None:
    with pytest.raises(ConfigError, match=r"(older_than|max_size) is (-1|nan)"):
        plan_pruning(**wrong)


def test_what_is_pruned_is_computed_again_the_same() -> None:
    before = np.array(FeatureStore.from_settings().matrix(["$close"], provider_from_settings()).view(0, 60))
    prune_cache(plan_pruning(max_size=0))
    again = FeatureStore.from_settings().matrix(["$close"], provider_from_settings()).view(0, 60)
    np.testing.assert_array_equal(again, before)


def test_prune_asks_and_an_answer_of_no_or_none_removes_nothing() -> None:
    build("$close")
    for answer in ("n\n", ""):
        done = run("prune", "--max-size", "0", input=answer)
        assert done.exit_code == 2
        assert "nothing was removed" in done.stderr
        assert len(list_cache().files) == 1
    assert run("prune", "--max-size", "0", input="y\n").exit_code == 0
    assert list_cache().files == ()


def test_yes_answers_and_json_tells_what_went() -> None:
    build("$close")
    done = run("prune", "--max-size", "0", "--yes", "--json")
    assert done.exit_code == 0, done.output
    body = json.loads(done.stdout)
    assert body["data"]["size"] == 720
    assert body["data"]["files"][0]["expression"] == "$close"


def test_what_is_open_now_stays() -> None:
    build("$open", days_ago=40)
    held = FeatureStore.from_settings().matrix(["$close"], provider_from_settings())
    plan = plan_pruning(max_size=0)
    assert expressions(plan.files) == ["$open"]
    assert {file.expression: file.in_use for file in list_cache().files} == {"$open": False, "$close": True}
    assert expressions(prune_cache(plan).files) == ["$open"]
    assert expressions(list_cache().files) == ["$close"]
    del held
    assert expressions(prune_cache(plan_pruning(max_size=0)).files) == ["$close"]


def test_what_another_process_has_open_stays(tmp_path: Path) -> None:
    build("$close")
    script = (
        "import sys\n"
        "from rollwright import init\n"
        "from rollwright.market.folder.provider import provider_from_settings\n"
        "from rollwright.features.store.feature_store import FeatureStore\n"
        "init(provider_uri=sys.argv[1], store__path=sys.argv[2])\n"
        "held = FeatureStore.from_settings().matrix(['$close'], provider_from_settings())\n"
        "print('open', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "market"), str(tmp_path / "store")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        plan = plan_pruning(max_size=0)
        assert plan.files == ()
        assert expressions(plan.in_use) == ["$close"]
        other.communicate("\n")
    assert expressions(plan_pruning(max_size=0).files) == ["$close"]


def test_what_was_opened_after_the_plan_stays() -> None:
    build("$close")
    plan = plan_pruning(max_size=0)
    held = FeatureStore.from_settings().matrix(["$close"], provider_from_settings())
    done = prune_cache(plan)
    assert done.files == ()
    assert expressions(done.in_use) == ["$close"]
    assert held.view(0, 60).shape == (180, 1)


def test_what_is_in_use_is_told() -> None:
    held = FeatureStore.from_settings().matrix(["$close"], provider_from_settings())
    done = run("prune", "--max-size", "0", "--yes")
    assert "in use and stays" in done.stderr
    assert "0 files removed" in done.stdout
    assert held.layout.rows == 180


def test_the_cap_of_the_settings_never_takes_what_is_open() -> None:
    held = FeatureStore.from_settings().matrix(["$close"], provider_from_settings())
    build("$open", days_ago=9)
    C["store.max_size"] = 1e-9
    newest = FeatureStore.from_settings().matrix(["$close+$open"], provider_from_settings())
    assert sorted(expressions(list_cache().files)) == sorted(["$close", newest.header.expressions[0]])
    assert held.view(0, 60).shape == (180, 1)
