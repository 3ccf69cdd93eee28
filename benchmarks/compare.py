"""What comparing costs beside the fits: an environment that is there, a comparison, and one that is finished.

    python benchmarks/compare.py [--repeats 5] [--runs 3] [--json FILE]

It makes a real environment first, for which the package index (or what uv or pip is configured to use) has to answer,
and compares two small linear models on a synthetic market, each so many times. Targets: a program in an environment
that is there starts within 1 s (wall time, the median); a comparison takes no more than 4 CPU-seconds for each model
and 1.5 for each run beside what the runs themselves say they took; the same command again, when all is finished, no
more than 3 CPU-seconds and 0.3 more for each model. A missed target ends the program with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import report

START = 1.0
OF_A_MODEL = 4.0
OF_A_RUN = 1.5
FINISHED = 3.0
FINISHED_OF_A_MODEL = 0.3
MODELS = {"ridge": "ridge", "ols": "ols"}
WORKFLOW = """\
qlib_init: {{provider_uri: market, region: us}}
task:
  model: {{class: LinearModel, module_path: rollwright.models.linear, kwargs: {{estimator: {estimator}}}}}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: Alpha158
        module_path: rollwright.dataset.alpha
        kwargs:
          instruments: all
          fit_start_time: 2015-06-01
          fit_end_time: 2017-05-31
          infer_processors: [{{class: RobustZScoreNorm, kwargs: {{fields_group: feature}}}}, {{class: Fillna}}]
      segments:
        train: [2015-06-01, 2017-05-31]
        valid: [2017-06-01, 2017-11-30]
        test: [2017-12-01, 2018-11-30]
"""


def make_project(folder):
    """Make a project with a market and two models."""
    (folder / "rollwright.toml").write_text('[compare]\nenvironments = "environments"\n')
    call([sys.executable, "-m", "rollwright", "data", "demo", "--out", "market"], folder)
    for name, estimator in MODELS.items():
        model = folder / "models" / name
        model.mkdir(parents=True)
        (model / "workflow_Alpha158.yaml").write_text(WORKFLOW.format(estimator=estimator))
        (model / "requirements.txt").write_text("")


def call(command, folder):
    """Return wall and CPU seconds of a command and all that it waited for."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said.read()[-2000:]}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


def compare(folder, name, runs):
    """Return the CPU seconds of a comparison."""
    command = [sys.executable, "-m", "rollwright", "compare", "run", "models"]
    return call([*command, "--name", name, "--times", str(runs), "-j", "2"], folder)[1]


def fits(folder, name):
    """Return the CPU seconds that the runs of a comparison say they took."""
    stored = json.loads((folder / "results" / f"compare-{name}" / "evaluations" / "evaluations.json").read_text())
    return sum(run["cost"]["cpu_seconds"] for run in stored["runs"])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    machine.pin()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        make_project(folder)
        compare(folder, "first", 1)  # makes the environment and the features
        (python,) = folder.glob("environments/[0-9a-f]*/bin/python")
        starts = [call([str(python), "-m", "rollwright", "--version"], folder)[0] for _ in range(given.repeats)]
        beside, again = [], []
        for number in range(given.repeats):
            name = f"n{number}"
            beside.append(compare(folder, name, given.runs) - fits(folder, name))
            again.append(compare(folder, name, given.runs))
            shutil.rmtree(folder / "results" / f"compare-{name}")
    models = len(MODELS)
    rows = [
        report.row("a program in an environment that is there, wall", starts, START, at_least=False, unit=" s"),
        report.row(
            f"a comparison of {models} models in {given.runs} runs each beside the runs, CPU",
            beside, models * (OF_A_MODEL + given.runs * OF_A_RUN), at_least=False, unit=" s",
        ),
        report.row(
            "the same when all is finished, CPU",
            again, FINISHED + models * FINISHED_OF_A_MODEL, at_least=False, unit=" s",
        ),
    ]  # fmt: skip
    return report.finish("compare", rows, path=given.json, repeats=given.repeats)


if __name__ == "__main__":
    sys.exit(main())
