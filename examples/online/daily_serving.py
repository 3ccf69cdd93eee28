"""Serve a campaign day by day on made-up prices, from the first training to a promotion.

    python examples/online/daily_serving.py --out serving

It types the commands that you would type, prints them, and ends with a serving in the folder `--out`, which you may ask
on: `cd serving`, `rollwright online status`. Prices of one session arrive at a time, as a file a day.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shlex
import sys
from pathlib import Path

import pandas as pd

from rollwright.cli.root import run
from rollwright.market.demo import make_demo_market
from rollwright.market.folder.provider import QlibProvider

CAMPAIGN = """\
experiment_name: daily
qlib_init: {provider_uri: market, region: us}
task:
  model: {class: LinearModel, module_path: rollwright.models.linear, kwargs: {estimator: ridge, alpha: 0.1}}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: DataHandlerLP
        module_path: rollwright.dataset.handler
        kwargs:
          instruments: all
          start_time: "2015-01-05"
          data_loader:
            class: QlibDataLoader
            module_path: rollwright.dataset.loader
            kwargs:
              config:
                feature:
                  - ["$close/Ref($close, 5) - 1", "$close/Ref($close, 20) - 1", "$volume/Mean($volume, 20)"]
                  - [WEEK, MONTH, VOLUME]
                label: [["Ref($close, -2)/Ref($close, -1) - 1"], [LABEL0]]
          learn_processors: [{class: DropnaLabel}]
          infer_processors: [{class: Fillna, kwargs: {fields_group: feature}}]
      segments:
        train: ["2015-02-02", "2015-08-31"]
        valid: ["2015-09-01", "2015-10-30"]
        test: ["2015-11-09", "2016-03-31"]
rolling: {step: 15, rtype: sliding}
"""
SERVED = """\
online:
  deadline: "19:00"
  timezone: America/New_York
  publish: {folder: delivered}
"""
SECOND = """\
vary:
  - {name: daily}
  - {name: trees, model: {class: LGBModel, module_path: rollwright.models.lightgbm, kwargs: {num_boost_round: 40}}}
"""
FIELDS = ["open", "high", "low", "close", "volume"]


def make_prices(folder: Path) -> pd.DataFrame:
    """Return made-up prices of 60 instruments: a row for each session and instrument."""
    make_demo_market(folder, instruments=60, sessions=300)
    source = QlibProvider(folder)
    codes = [code for code in source.instruments() if code in source.members("all")]
    sessions = source.calendar().to_index()
    values = source.load(FIELDS, codes, 0, len(sessions))
    rows = pd.MultiIndex.from_product([sessions, codes], names=["date", "symbol"])
    columns = {field: values[place].ravel() for place, field in enumerate(FIELDS)}
    return pd.DataFrame(columns, index=rows).dropna().reset_index()


def deliver(prices: pd.DataFrame, name: str) -> None:
    """Write the file that a vendor of data would send, and import it."""
    prices.to_csv(f"{name}.csv", index=False)
    type_command(f"data import {name}.csv --out market", quiet=True)


def type_command(line: str, *, expected: int = 0, quiet: bool = False) -> None:
    """Run a command of rollwright in this process, and end when its exit code is another than expected."""
    print(f"$ rollwright {line}", flush=True)
    with contextlib.redirect_stdout(io.StringIO() if quiet else sys.stdout):
        code = run(shlex.split(line))
    if code != expected:
        raise SystemExit(f"`rollwright {line}` ended with {code}")


def main() -> None:
    """Take a campaign from its first training to a promotion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("serving"), help="a folder that does not exist yet")
    parser.add_argument("--days", type=int, default=20, help="how many sessions arrive and are served")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    os.chdir(asked.out)

    # 1. A project, and the prices up to a day.
    prices = make_prices(Path("whole"))
    sessions = prices["date"].drop_duplicates().sort_values().tolist()
    first = len(sessions) - asked.days
    Path("rollwright.toml").write_text("", encoding="utf-8")
    Path("daily.yaml").write_text(CAMPAIGN + SERVED, encoding="utf-8")
    deliver(prices[prices["date"] < sessions[first]], "history")

    # 2. The first training.
    type_command("online init daily.yaml")

    # 3. Sessions arrive, and each evening the routine runs. Half-way a second strategy is added.
    for place in range(first, len(sessions)):
        deliver(prices[prices["date"] == sessions[place]], f"{sessions[place]:%Y-%m-%d}")
        type_command(f"online routine --session {sessions[place]:%Y-%m-%d}")
        if place == first + asked.days // 2:
            Path("daily.yaml").write_text(CAMPAIGN + SERVED + SECOND, encoding="utf-8")
            type_command('online strategy add trees --reason "trees may see what lines do not"')

    # 4. What came of it: how it stands, and what the challenger scored.
    type_command("online status")
    type_command("online signals --role challenger --out challenger.csv")

    # 5. The evidence of ten days is not enough, and a person decides all the same.
    type_command("online promote trees", expected=2)
    type_command('online promote trees --override --reason "an example has no time to wait"')
    type_command("online history")

    # 6. What serving would have published before it began.
    begin, end = sessions[first - 15], sessions[first - 1]
    type_command(f"online simulate daily.yaml --from {begin:%Y-%m-%d} --to {end:%Y-%m-%d}")


if __name__ == "__main__":
    main()
