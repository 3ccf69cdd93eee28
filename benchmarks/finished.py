"""`roll` and `resume` of a campaign that is finished: what a user waits for who gives the command again.

    python benchmarks/finished.py [--windows 8 200] [--repeats 5] [--project DIR] [--json FILE]

A market of 60 instruments and 2,400 sessions; 2,000 of them are predicted, in as many windows as asked for, by a linear
model of two features; 10,000 windows are 2,000 of each of five models. The `roll` that trains them is not counted, and
takes minutes with 2,000 windows: `--project` keeps it for another time. Wall time means a quiet machine; CPU is that of
all processes, of which a finished campaign starts none. A missed target ends the program with 1.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import report

TARGETS = {8: 1.2, 200: 2.0, 2000: 6.0, 10_000: 10.0}
MEMBERS = {10_000: 5}
"""The members of a campaign of so many windows, where it has several."""
VARY = """\
vary: {{model.kwargs: [{models}]}}
combine: {{method: average}}
"""
CAMPAIGN = """\
experiment_name: windows{windows}
qlib_init: {{provider_uri: market, region: us}}
task:
  model: {{class: LinearModel, module_path: rollwright.models.linear}}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: DataHandlerLP
        module_path: rollwright.dataset.handler
        kwargs:
          instruments: all
          data_loader:
            class: QlibDataLoader
            module_path: rollwright.dataset.loader
            kwargs:
              config:
                feature: [["$close/Ref($close, 5)", "Std($close, 10)/$close"], [MOM, VOL]]
                label: [["Ref($close, -2)/Ref($close, -1) - 1"], [LABEL0]]
          infer_processors: [{{class: Fillna}}]
          learn_processors: [{{class: DropnaLabel}}]
      segments: {{train: [{train}], test: [{test}]}}
rolling: {{step: {step}}}
collect: {{max_missing_share: 0.5}}
backtest: {{topk: 10, n_drop: 2, benchmark: mean}}
"""


def run(folder, *arguments):
    """Run a command; return wall and CPU seconds of all its processes."""
    begun, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, "-m", "rollwright", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - begun, cpu


def write_campaign(folder, windows):
    """Write the file of a campaign of so many windows over the last 2,000 sessions but three; return its name."""
    sessions = (folder / "market" / "calendars" / "day.txt").read_text().split()
    test = sessions[-2003:-3]
    members = MEMBERS.get(windows, 1)
    text = CAMPAIGN.format(
        windows=windows,
        train=f"{sessions[60]}, {sessions[-2004]}",
        test=f"{test[0]}, {test[-1]}",
        step=len(test) * members // windows,
    )
    if members > 1:
        models = ", ".join(f"{{estimator: ridge, alpha: 0.{place}}}" for place in range(1, members + 1))
        text += VARY.format(models=models)
    (folder / f"windows{windows}.yaml").write_text(text)
    return f"windows{windows}.yaml"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, nargs="+", choices=TARGETS, default=[8, 200])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--project", type=Path, help="a folder to train in, and to find trained windows in")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    machine.pin()
    rows = []
    with contextlib.ExitStack() as stack:
        folder = given.project or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".rollwright").mkdir(exist_ok=True)
        if not (folder / "market").exists():
            run(folder, "data", "demo", "--out", "market", "--instruments", "60", "--sessions", "2400")
        for windows in given.windows:
            file = write_campaign(folder, windows)
            run(folder, "roll", file, "-j", "2")
            commands = {"roll": ("roll", file), "resume": ("resume", f"windows{windows}")}
            sides = {name: (lambda command=command: run(folder, *command)) for name, command in commands.items()}
            for name, costs in machine.interleaved(sides, given.repeats).items():
                walls, cpus = zip(*costs, strict=True)
                work = f"`{name}` of a finished campaign"
                how = {"at_least": False, "unit": " s", "case": f"{windows:,} windows"}
                rows.append(report.row(f"{work}, wall", walls, TARGETS[windows], **how))
                rows.append(report.row(f"{work}, CPU", cpus, TARGETS[windows], **how))
    return report.finish("finished", rows, path=given.json, repeats=given.repeats)


if __name__ == "__main__":
    sys.exit(main())
