"""The leakage audit beside one build of the features it looks at.

    python benchmarks/audit.py [--instruments 120] [--sessions 1300] [--repeats 5] [--json FILE]

On a synthetic market, with Alpha158 and the demo's windows: the audit of three probe dates, and the features of the
whole market built once in an empty store, by turns, on one thread, in CPU seconds. Target: no more than one build. A
missed target ends the program with 1.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import machine
import report
import yaml

from rollwright.campaign.audit.audit import audit
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.plan import make_plan
from rollwright.config.context import init
from rollwright.dataset.dataset import build_dataset
from rollwright.features.store.feature_store import FeatureStore
from rollwright.market.current import current_market
from rollwright.market.demo import make_demo_market

DEMO = Path(__file__).parents[1] / "src/rollwright/app/demo.yaml"
DATES = 3


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instruments", type=int, default=120)
    parser.add_argument("--sessions", type=int, default=1300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    machine.pin()
    definition = yaml.safe_load(DEMO.read_text())
    for key in ("qlib_init", "vary", "combine"):  # of one dataset
        definition.pop(key, None)
    config = CampaignConfig.model_validate(definition)
    shares, audits, builds = [], [], []
    with tempfile.TemporaryDirectory() as root:
        make_demo_market(Path(root) / "market", instruments=given.instruments, sessions=given.sessions, seed=1)
        init(provider_uri=str(Path(root) / "market"))
        source = current_market()
        for number in range(given.repeats + 1):  # the first one imports
            plan = make_plan(config, name="bench", calendar=source.calendar(), keep_leaks=True)
            begun = time.process_time()
            build_dataset(
                plan.windows[0].spec.definition["dataset"], source=source,
                store=FeatureStore(Path(root) / f"store{number}"),
            ).warm()  # fmt: skip
            built = time.process_time()
            found = audit(plan, source, name="bench", allowed={}, dates=DATES)
            done = time.process_time()
            if not found.ok or len(found.power.probes) != DATES:
                raise SystemExit(f"the audit is wrong: {found.leaks}")
            if number:
                builds.append(built - begun)
                audits.append(done - built)
                shares.append(audits[-1] / builds[-1])
    case = f"{given.instruments} x {given.sessions}"
    rows = [
        report.row(
            "audit of three dates / one feature build", shares, 1.0, at_least=False, unit="x", case=case,
            against="Alpha158 built in an empty store",
        )
    ]  # fmt: skip
    figures = {"audit s": audits, "build s": builds, "recomputed": found.power.recomputed}
    return report.finish("audit", rows, path=given.json, repeats=given.repeats, figures=figures)


if __name__ == "__main__":
    raise SystemExit(main())
