"""Run by the tests in a process of its own: what waits in an outbox is sent by processes that are killed on the way.

Each child is killed with SIGKILL by itself: before its n-th request leaves, or when the answer has come. It prints one
JSON document: how the server's runs differ from those of a server that was never away, for each n.
"""

import importlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

HEAD = ("rollwright.outbox", "mlflow.")


def facts(server):
    found = []
    for experiment in server.store.experiments():
        for run in server.store.search_runs([experiment.id]):
            points = sorted(list(point[1:4]) for point in server.points if point[0] == run.id)
            files = sorted(name.split("/artifacts/")[1] for name in server.files if f"/{run.id}/" in name)
            tags = {key: text for key, text in run.tags.items() if not key.startswith(HEAD)}
            found.append([experiment.name, run.name, run.status, dict(run.params), points, tags, files])
    return sorted(found, key=repr)


def record(R):
    for place in range(2):
        with R.start(experiment_name="e", recorder_name=f"r{place}") as recorder:
            R.log_params(place=place, a=1)
            recorder.flush()
            R.log_metrics(ic=place / 10, step=1)
            R.log_metrics(ic=place / 20, step=2)
            R.set_tags(t=place)
            R.save_objects(**{"pred.pkl": [place], "deep/x.pkl": {"a": place}})


def killed_at(number, when, work):
    """Fork; in the child do `work`, killed at request `number`. Return whether it was."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            sessions = importlib.import_module("requests.sessions")
            ask, asked = sessions.Session.request, []

            def request(*args, **kwargs):
                asked.append(1)
                if len(asked) == number and when == "before":
                    os.kill(os.getpid(), signal.SIGKILL)
                answer = ask(*args, **kwargs)
                if len(asked) == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return answer

            sessions.Session.request = request
            code = work()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main():
    from rollwright.app.track import sync_tracking  # noqa: PLC0415 - a script
    from rollwright.config import context  # noqa: PLC0415 - a script
    from rollwright.config.settings import load_settings  # noqa: PLC0415 - a script
    from rollwright.tracking.r import R  # noqa: PLC0415 - a script

    sys.path.insert(0, str(Path(__file__).parents[1] / "servers"))
    from tracking_server import TrackingServer  # noqa: PLC0415 - a script

    importlib.import_module("rollwright.tracking.stores.mlflow.preloaded")

    def settings_of(folder, server):
        (folder / ".rollwright").mkdir(parents=True, exist_ok=True)
        return load_settings({"tracking.uri": server.uri}, start=folder, environ={})

    with TrackingServer() as server:
        with context.using(settings_of(Path("never-away"), server)):
            record(R)
        expected = facts(server)

    different, kills = [], 0
    for when in ("before", "after"):
        for number in range(1, 60):
            with TrackingServer() as server:
                folder = Path(f"{when}-{number}")
                settings = settings_of(folder, server)
                server.stop()
                with context.using(settings):
                    record(R)
                server.start()
                end = killed_at(number, when, lambda settings=settings: sync_tracking(settings).exit_code)
                kills += end == -signal.SIGKILL
                last = killed_at(10**9, when, lambda settings=settings: sync_tracking(settings).exit_code)
                if last != 0 or facts(server) != expected:
                    different.append([when, number, last, facts(server)])
                shutil.rmtree(folder)
            if end == 0:
                break
    sys.stdout.write(json.dumps({"different": different, "kills": kills, "runs": len(expected)}))


if __name__ == "__main__":
    main()
