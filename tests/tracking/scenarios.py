"""Run by the tests in a process of its own: several processes record into one new project at once.

It prints one JSON document. MLflow is imported once and the processes are forked from there, since an import costs
seconds; what they open, each opens itself.
"""

import importlib
import json
import logging
import os
import sys
import threading

SOCKETS = []


def watch(event, arguments):
    asked = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname", "subprocess.Popen")
    if event in asked and "uname" not in repr(
        arguments
    ):  # the standard library's `platform` asks uname for the machine
        SOCKETS.append([event, repr(arguments)[:200]])


def children(count, work):
    """Fork `count` processes that start together; return their exit codes."""
    ready, go = os.pipe()
    pids = []
    for place in range(count):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(go)
                os.read(ready, 1)  # all of them wake when the parent closes its end
                work(place)
                code = 3 if SOCKETS else 0
            except BaseException:
                logging.getLogger("child").exception("child %d failed", place)
            finally:
                sys.stderr.flush()
                os._exit(code)
        pids.append(pid)
    os.close(ready)
    os.close(go)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def main():
    sys.addaudithook(watch)
    from rollwright.tracking.r import R  # noqa: PLC0415 - after the watch is set

    importlib.import_module("rollwright.tracking.stores.mlflow.preloaded")  # MLflow is imported, and nothing opened
    assert os.listdir() == []

    def race(place):
        for number in range(5):
            with R.start(experiment_name="race", recorder_name=f"{place}-{number}") as recorder:
                R.log_params(place=place, number=number, **{f"p{key}": key for key in range(20)})
                R.log_metrics(ic=place + number / 10)
                R.save_objects(**{"pred.pkl": [place, number]})
                assert recorder.status == "RUNNING"

    report = {"race": children(3, race)}
    listed = R.get_exp(experiment_name="race").list_recorders(rtype="list")
    report["runs"] = sorted(
        [
            recorder.name,
            recorder.status,
            len(recorder.list_params()),
            recorder.list_metrics()["ic"],
            *recorder.load_object("pred.pkl"),
        ]
        for recorder in listed
    )
    report["experiments"] = sorted(R.list_experiments())

    def own(place):
        assert R.exp_manager.active_experiment is None, "a child must not inherit the parent's run"
        with R.start(experiment_name="forked", recorder_name=str(place)):
            R.log_params(place=place)

    with R.start(experiment_name="forked", recorder_name="parent") as parent:
        R.log_params(who="parent")
        report["forked"] = children(3, own)
        R.log_metrics(after=1)
    report["parent"] = [parent.status, R.get_recorder(recorder_id=parent.id).list_metrics()]
    report["forked runs"] = sorted(
        [recorder.name, recorder.status] for recorder in R.list_recorders(experiment_name="forked").values()
    )
    report["sockets"] = SOCKETS
    report["threads"] = [thread.name for thread in threading.enumerate()]
    report["telemetry"] = [os.environ.get("MLFLOW_DISABLE_TELEMETRY"), os.environ.get("DO_NOT_TRACK")]
    client = sys.modules["mlflow.telemetry.client"].get_telemetry_client()
    report["telemetry client"] = repr(client)
    report["handlers"] = [
        [type(handler).__name__ for handler in logging.getLogger(name).handlers]
        for name in ("", "mlflow", "sqlalchemy")
    ]
    report["levels"] = [logging.getLogger(name).level for name in ("", "mlflow", "alembic", "mlflow.store.db.utils")]
    report["configure"] = os.environ.get("MLFLOW_CONFIGURE_LOGGING")
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
