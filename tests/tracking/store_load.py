"""Run by the tests in a process of its own: many processes record into one new store at once; prints JSON.

Arguments: how many processes, and how many runs each records.
"""

import importlib
import json
import logging
import os
import sys


def main():
    processes, runs = int(sys.argv[1]), int(sys.argv[2])
    from rollwright.tracking.r import R  # noqa: PLC0415 - a script

    importlib.import_module("rollwright.tracking.stores.mlflow.preloaded")  # imported once, and nothing opened
    ready, go = os.pipe()
    pids = []
    for place in range(processes):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(go)
                os.read(ready, 1)  # all of them wake when the parent closes its end
                for number in range(runs):
                    with R.start(experiment_name="load", recorder_name=f"{place}-{number}"):
                        R.log_params(place=place, number=number, **{f"p{key}": key for key in range(10)})
                        R.log_metrics(ic=place + number / 100, step=1)
                        R.set_tags(kind="load")
                        R.save_objects(**{"pred.pkl": [place, number]})
                code = 0
            except BaseException:
                logging.getLogger("child").exception("child %d failed", place)
            finally:
                sys.stderr.flush()
                os._exit(code)
        pids.append(pid)
    os.close(ready)
    os.close(go)
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    rows = R.search_records(R.get_exp(experiment_name="load").id.split())
    whole = sum(
        recorder.load_object("pred.pkl") == [int(part) for part in recorder.name.split("-")]
        and recorder.list_params()["p9"] == "9"
        for recorder in R.list_recorders(experiment_name="load").values()
    )
    report = {
        "ends": ends,
        "names": sorted(rows["run_name"]),
        "statuses": sorted(set(rows["status"])),
        "metrics": float(rows["metrics.ic"].sum()),
        "whole": whole,
        "experiments": sorted(R.list_experiments()),
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
