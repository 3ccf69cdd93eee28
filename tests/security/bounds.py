"""Inputs that would take the time or the memory of the machine, each at one door.

Run as a script it tries one group in this process and tells of each case as a line of JSON: ``bounds.py GROUP FOLDER``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

Case = tuple[str, Callable[[], object]]


# Files that are no files: every reader of a file meets each of them where its own should be.


def _make_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def _make_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _make_folder(path: Path) -> None:
    path.mkdir()


def _make_sparse(path: Path) -> None:
    """Make a file of 23 GB that takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(23 << 30)
    path.chmod(0o600)


def _make_sparse_envelope(path: Path) -> None:
    """Make a file of 23 GB that begins as a signed object does."""
    path.write_bytes(b"RWSEAL1\n" + bytes(101))
    with path.open("r+b") as file:
        file.truncate(23 << 30)


KINDS = {"pipe": _make_pipe, "endless": _make_endless, "folder": _make_folder, "sparse": _make_sparse}


def _replaced(path: Path, make: Callable[[Path], None]) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)


def files(work: Path) -> Iterator[Case]:
    """Yield what reads a file whole, with each kind of file in its place."""
    for door, path, read in _doors(work):
        kept = path.read_bytes() if path.is_file() else None
        with suppress(Exception):  # what it imports is not measured
            read()
        for kind, make in {**KINDS, "envelope": _make_sparse_envelope}.items():
            _replaced(path, make)
            yield f"{door}: {kind}", read
        _replaced(path, lambda path, kept=kept: path.write_bytes(kept or b""))  # type: ignore[misc]
        if kept is None:
            path.unlink()


def _doors(work: Path) -> Iterator[tuple[str, Path, Callable[[], object]]]:
    """Yield the readers: a name, the file that each reads, and the call."""
    from rollwright.app.campaign_record import read_record  # noqa: PLC0415
    from rollwright.calendar.files import read_sessions  # noqa: PLC0415
    from rollwright.campaign.config_file import read_config  # noqa: PLC0415
    from rollwright.campaign.summary import read_summary  # noqa: PLC0415
    from rollwright.codecs.registry import codecs  # noqa: PLC0415
    from rollwright.compat.importing import import_pickle  # noqa: PLC0415
    from rollwright.config.construct import Trust, init_instance_by_config  # noqa: PLC0415
    from rollwright.config.settings import load_settings  # noqa: PLC0415
    from rollwright.dataset.loader import StaticDataLoader  # noqa: PLC0415
    from rollwright.market.folder.bins import read_span  # noqa: PLC0415
    from rollwright.market.folder.manifest import read_manifest  # noqa: PLC0415
    from rollwright.market.folder.provider import QlibProvider  # noqa: PLC0415
    from rollwright.market.ingest.readers import read_rows  # noqa: PLC0415
    from rollwright.signing.keys import Keyring  # noqa: PLC0415
    from rollwright.signing.serializable import Serializable  # noqa: PLC0415
    from rollwright.signing.trusted_keys import Trusted  # noqa: PLC0415
    from rollwright.tracking.artifacts import LocalArtifactStore  # noqa: PLC0415

    trust = Trust(folder=work)
    yield "saved object", work / "x.pkl", lambda: init_instance_by_config("file://x.pkl", trust=trust)
    yield "load", work / "y.pkl", lambda: Serializable.load(work / "y.pkl")
    own = {"class": "A", "module_path": "own.py"}
    yield "own module", work / "own.py", lambda: init_instance_by_config(own, trust=trust, slot="model")
    ring = work / "ring"
    yield "key", ring / "key", lambda: Keyring(ring).list_keys()
    yield "older key", ring / "keys" / "0abc", lambda: Keyring(ring).list_keys()
    yield "list of trust", ring / "trusted.json", lambda: Trusted(ring).entries()
    yield "settings", work / "p" / "rollwright.toml", lambda: load_settings(start=work / "p", environ={})
    yield "campaign", work / "c.yaml", lambda: read_config(work / "c.yaml", environ={})
    (work / "child.yaml").write_text("BASE_CONFIG_PATH: base.yaml\n")
    yield "base", work / "base.yaml", lambda: read_config(work / "child.yaml", environ={})
    yield "summary", work / "summary.json", lambda: read_summary(work / "summary.json")
    yield "record of a campaign", work / "record.json", lambda: read_record(work / "record.json")
    yield "calendar", work / "day.txt", lambda: read_sessions(work / "day.txt")
    yield "series", work / "close.day.bin", lambda: read_span(work / "close.day.bin", 0, 9, sessions=9)
    digest = {"digest": "0" * 64}
    yield "whole series", work / "o.day.bin", lambda: read_span(work / "o.day.bin", 0, 9, sessions=9, **digest)  # type: ignore[arg-type]
    yield "manifest of data", work / "d" / "rollwright.json", lambda: read_manifest(work / "d")
    for name in ("calendars/day.txt", "instruments/all.txt"):
        yield f"data folder {name}", _market(work) / name, lambda: _read_market(QlibProvider(_market(work)))
    yield "Parquet of a loader", work / "s.parquet", lambda: StaticDataLoader(str(work / "s.parquet")).load()
    yield "CSV", work / "i.csv", lambda: read_rows(work / "i.csv")
    yield "old pickle", work / "old.pkl", lambda: import_pickle(work / "old.pkl", work / "out")
    run = LocalArtifactStore(work / "run")
    yield "manifest of artifacts", work / "run" / "artifacts.json", run.list
    for kind in ("json", "npy", "parquet", "envelope", "dataset", "lightgbm", "linear", "skops"):
        yield f"artifact {kind}", work / f"x.{kind}", lambda kind=kind: codecs.for_kind(kind).read(work / f"x.{kind}")  # type: ignore[misc]


def archives(work: Path) -> Iterator[Case]:
    """Yield files that decompress to fill the memory; those of Parquet and of models are in the hostile corpus."""
    import gzip  # noqa: PLC0415 - what makes the file is not measured

    from rollwright.market.ingest.readers import read_rows  # noqa: PLC0415

    with gzip.open(work / "z.csv.gz", "wb") as file:
        file.write(b"symbol,date,close\n")
        for _ in range(200):
            file.write(b"SH600000,2020-01-02,1\n" * 200_000)
    with suppress(Exception):
        read_rows(work / "none.csv")
    yield "compressed CSV of 880 MB", lambda: read_rows(work / "z.csv.gz")


def _shared(levels: int) -> list[Any]:
    """Return lists that hold one another twice: few objects, and 2**levels values when written out."""
    value: list[Any] = [1]
    for _ in range(levels):
        value = [value, value]
    return value


def _placeholders(levels: int) -> dict[str, Any]:
    """Return a task whose placeholders expand each other: each level names the one before it ten times."""
    kwargs: dict[str, Any] = {"a0": ["x"] * 10}
    kwargs |= {f"a{n}": [f"<model.kwargs.a{n - 1}>"] * 10 for n in range(1, levels)}
    return {
        "model": {"class": "LinearModel", "module_path": "rollwright.models.linear", "kwargs": kwargs},
        "dataset": {"class": "DatasetH", "module_path": "rollwright.dataset.dataset", "kwargs": {"segments": {}}},
    }


def definitions(work: Path) -> Iterator[Case]:
    """Yield definitions that are small as objects or as text, and large when written out."""
    from rollwright.codecs.registry import codecs  # noqa: PLC0415
    from rollwright.config.placeholders import fill_paths  # noqa: PLC0415
    from rollwright.core.canonical import canonical_json, parse_json, with_segment_tuples  # noqa: PLC0415
    from rollwright.pool.query import parse  # noqa: PLC0415
    from rollwright.tasks.identity import fit_key, record_keys, task_fingerprint, task_seed  # noqa: PLC0415
    from rollwright.tasks.spec import TaskSpec  # noqa: PLC0415
    from rollwright.tasks.variants import ModelGen  # noqa: PLC0415
    from rollwright.training.execute import task_train  # noqa: PLC0415

    bomb = _placeholders(12)
    tree = {**_placeholders(1), "record": _shared(40)}
    text = {**_placeholders(1), "record": [["x" * 100_000] * 1000] * 1000}
    task_fingerprint(_placeholders(2))
    readers = (fill_paths, TaskSpec.from_definition, task_fingerprint, fit_key, record_keys, task_seed)
    for name, task in (("placeholders", bomb), ("shared parts", tree), ("shared text", text)):
        for read in readers:
            yield f"{name}: {read.__name__}", lambda read=read, task=task: read(task)  # type: ignore[misc]
        yield f"{name}: training", lambda task=task: task_train(task, "e")  # type: ignore[misc]
    yield "shared parts: models", lambda: ModelGen([{"class": "A", "kwargs": {"x": _shared(40)}}])
    yield "shared parts: query", lambda: parse({"model": _shared(40)})
    yield "shared parts: canonical", lambda: canonical_json(_shared(40))
    twice = "{" + "".join(f'"k{n}": 1,' for n in range(80_000)) + '"last": 1, "last": 2}'
    yield "a key twice among many", lambda: parse_json(twice)
    yield "JSON that nests", lambda: with_segment_tuples(parse_json("[" * 900 + "]" * 900))
    (work / "deep.json").write_text("[" * 1_000_000)
    yield "JSON artifact that nests", lambda: codecs.for_kind("json").read(work / "deep.json")


def templates(work: Path) -> Iterator[Case]:
    """Yield templates whose result is small, or nothing, and whose way to it is not."""
    from rollwright.campaign.yaml.template import render  # noqa: PLC0415

    del work
    with suppress(Exception):
        render("{{ nothing }}", name="warm.yaml", environ={})
    twice = "{% set a = [a, a] %}" * 30
    texts = {
        "squares": "{% set a = 9999999999 %}" + "{% set a = a * a %}" * 40 + "x: {{ a > 1 }}",
        "places": "x: {{ 1 | round(1000000000, 'floor') }}",
        "lists": "{% set a = [1, 1] %}" + twice + "x: {{ a }}",
        "compared lists": "{% set a = [1, 1] %}" + twice + "{% if a == [a] %}{% endif %}",
        "long lists": "{% set a = [" + "'xxxxxxxxxx', " * 4000 + "] %}" + "{{ a | string | length }}" * 200,
        "repeated text": "x: {{ 'x' * 1000000000 }}",
        "format": "x: {{ '%1000000000d' % 1 }}",
        "parentheses": "x: {{ " + "(" * 30_000 + "1" + ")" * 30_000 + " }}",
        "negations": "x: {{ " + "not " * 15_000 + "1 }}",
        "sums": "x: {{ " + "1+" * 30_000 + "1 }}",
        "conditions": "{% if 1 %}" * 3000 + "x" + "{% endif %}" * 3000,
        "filters": "x: {{ 1 " + "| abs" * 12_000 + " }}",
        "brackets": "x: {{ " + "[" * 30_000 + "]" * 30_000 + " }}",
        "digits": "x: {{ " + "9" * 60_000 + " }}",
    }
    for name, text in texts.items():
        yield name, lambda text=text: render(text, name="c.yaml", environ={})  # type: ignore[misc]


def yaml(work: Path) -> Iterator[Case]:
    """Yield files of up to 64 KiB that are more when they are read."""
    from rollwright.campaign.config_file import read_config  # noqa: PLC0415

    task = (
        "task:\n  model: {class: LinearModel, module_path: rollwright.models.linear}\n"
        "  dataset: {class: DatasetH, module_path: rollwright.dataset.dataset, kwargs: {}}\n"
    )
    with suppress(Exception):
        (work / "warm.yaml").write_text(f"{task}seed: x\n")
        read_config(work / "warm.yaml", environ={})
    laughs = [f"a{n}: &a{n} [" + f"*a{n - 1}, " * 10 + "]" for n in range(1, 12)]
    merges = [f"a{n}: &a{n} {{<<: [" + f"*a{n - 1}, " * 10 + "]}" for n in range(1, 12)]
    text = 'x: &a "' + "z" * 30_000 + '"\n'
    (work / "anchors.yaml").write_text("".join(f"k{n}: &k{n} 1\nb{n}: *k{n}\n" for n in range(2200)))
    texts = {
        "laughs": "\n".join(["a0: &a0 [x]", *laughs]),
        "merges": "\n".join(["a0: &a0 {k: 1}", *merges]),
        "shared text": text + task.replace("kwargs: {}", "kwargs: {y: [" + "*a, " * 6000 + "]}"),
        "brackets": "[" * 60_000,
        "dashes": "- " * 30_000,
        "questions": "? " * 30_000,
        "anchors": "a: [" + "&a x, " * 10_000 + "]",
        "tags": task + "z: [" + "!x y, " * 9000 + "]",
        "keys": task + "".join(f"rolling{n}: 1\n" for n in range(4000)),
        "a long value": task + 'seed: "' + "r" * 60_000 + '"\n',
        "digits": task + "seed: " + "9" * 60_000,
        "hexadecimal digits": task + "seed: 0x" + "9" * 60_000,
        "many overrides of anchors": "BASE_CONFIG_PATH: anchors.yaml\n" + "".join(f"k{n}: 2\n" for n in range(2200)),
    }
    for name, body in texts.items():
        (work / "c.yaml").write_text(body)
        yield name, lambda: read_config(work / "c.yaml", environ={})


def answers(work: Path) -> Iterator[Case]:
    """Yield a tracking server whose answers have no end: in bytes, or in pages."""
    import threading  # noqa: PLC0415
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: PLC0415

    from rollwright.tracking.stores.mlflow.store import MlflowStore  # noqa: PLC0415

    says: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(200)
                self.end_headers()
                if says["body"] is None:
                    while True:
                        self.wfile.write(b" " * (1 << 20))
                self.wfile.write(json.dumps(says["body"]).encode())

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store = MlflowStore(f"http://127.0.0.1:{server.server_address[1]}", artifacts=work)
    run = {"info": {"run_id": "a" * 32, "experiment_id": "1", "status": "FINISHED", "lifecycle_stage": "active"}}
    experiment = {"experiment_id": "1", "name": "e", "lifecycle_stage": "active"}
    says["body"] = {"experiment": experiment}
    store.experiments(experiment_id="1")
    bodies: dict[str, Any] = {
        "without end": None,
        "of empty pages": {"next_page_token": "x"},
        "of one page again and again": {"runs": [run], "experiments": [experiment], "next_page_token": "x"},
    }
    for name, body in bodies.items():
        says["body"] = body
        yield f"runs {name}", lambda: store.search_runs(["1"])
        yield f"experiments {name}", lambda: store.experiments()  # noqa: PLW0108 - has more parameters
    says["body"] = None
    yield "a run without end", lambda: store.get_run("a" * 32)
    server.shutdown()


def _market(work: Path) -> Path:
    folder = work / "market"
    if not folder.exists():
        for part in ("calendars", "instruments", "features"):
            (folder / part).mkdir(parents=True)
        (folder / "calendars" / "day.txt").write_text("2020-01-02\n2020-01-03\n")
        (folder / "instruments" / "all.txt").write_text("SH600000\t2020-01-02\t2020-01-03\n")
    return folder


def _read_market(source: Any) -> object:
    return source.calendar(), source.members("all")


GROUPS: dict[str, Callable[[Path], Iterator[Case]]] = {
    group.__name__: group for group in (files, archives, definitions, templates, yaml, answers)
}


def main(group: str, work: Path) -> None:
    """Try each case of one group, and tell what came of it."""
    from rollwright.config.context import install  # noqa: PLC0415
    from rollwright.config.settings import load_settings  # noqa: PLC0415
    from rollwright.errors import RollwrightError  # noqa: PLC0415

    work.mkdir(parents=True, exist_ok=True)
    install(load_settings({"tracking.uri": "memory:bounds"}, start=work, environ={}))
    for name, attempt in GROUPS[group](work):
        before, begun = _peak(), time.process_time()
        try:
            told, exit_code = f"NOT refused: {type(attempt()).__name__}", 0
        except RollwrightError as error:
            told, exit_code = f"{type(error).__name__}: {str(error)[:30_000]}", error.exit_code
        except BaseException as error:  # noqa: BLE001 - the parent names it
            told, exit_code = f"NOT typed: {type(error).__name__}: {str(error)[:30_000]}", -1
        row = {"name": name, "told": told, "exit": exit_code, "seconds": round(time.process_time() - begun, 2)}
        sys.stdout.write(json.dumps({**row, "megabytes": _peak() - before}) + "\n")
        sys.stdout.flush()


def _peak() -> int:
    """Return the most memory this process has had so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (10 if sys.platform == "linux" else 20)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
