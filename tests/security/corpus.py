"""Files made to harm, by the number of their kind; each would touch a marker, fill memory, or never end.

Run as a script it tries one door in this process and tells of each file: ``corpus.py DOOR FOLDER WORK MARKER``; the
door ``build`` writes the files.
"""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class Raw:
    """Pickles as one instruction and a name."""

    def __init__(self, module: str, name: str, *args: Any, call: bytes = b"R") -> None:
        self.module, self.name, self.args, self.call = module, name, args, call

    def bytes(self, *, protocol: int = 4) -> bytes:
        body = b"c" + self.module.encode() + b"\n" + self.name.encode() + b"\n"
        return b"\x80" + bytes([protocol]) + body + _tuple(self.args) + self.call + b"."


def _value(value: Any) -> bytes:
    if isinstance(value, Raw):
        return b"c" + value.module.encode() + b"\n" + value.name.encode() + b"\n"
    return pickle.dumps(value, protocol=2)[2:-1]


def _tuple(values: tuple[Any, ...]) -> bytes:
    return b"(" + b"".join(map(_value, values)) + b"t"


def _stack_global(module: str, name: str, *args: Any) -> bytes:
    return (
        b"\x80\x04"
        + b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
        + b"\x93"
        + (_tuple(args) + b"R.")
    )


def pickles(marker: str) -> Iterator[tuple[str, bytes]]:
    """Yield hostile pickles; what they would call touches `marker`."""
    touch, code = f"touch {marker}", f"open({marker!r}, 'w').close()"
    yield "01 posix.system", Raw("posix", "system", touch).bytes()
    yield "01 os.system", Raw("os", "system", touch).bytes(protocol=0)
    yield "02 exec", Raw("builtins", "exec", code).bytes()
    yield "03 eval", Raw("builtins", "eval", code).bytes()
    yield "03 eval of python 2", Raw("__builtin__", "eval", code).bytes(protocol=2)
    yield "04 subprocess", Raw("subprocess", "check_output", ["touch", marker]).bytes()
    yield "05 resolve_name", Raw("pkgutil", "resolve_name", "os:system").bytes()
    yield "06 methodcaller", Raw("operator", "methodcaller", "system", touch).bytes()
    yield "06 attrgetter", Raw("operator", "attrgetter", "system").bytes()
    yield "07 partial", Raw("functools", "partial", Raw("os", "system"), touch).bytes()
    yield "08 INST", b"(S" + repr(touch).encode() + b"\nios\nsystem\n."
    yield "09 OBJ", b"(cos\nsystem\nS" + repr(touch).encode() + b"\no."
    yield "10 NEWOBJ_EX", (b"\x80\x04csubprocess\nPopen\n" + _tuple((["touch", marker],)) + b"}\x92.")
    yield "10 NEWOBJ", b"\x80\x04csubprocess\nPopen\n" + _tuple((["touch", marker],)) + b"\x81."
    yield "11 timeit", Raw("timeit", "timeit", code).bytes()
    yield "11 cProfile", Raw("cProfile", "run", code).bytes()
    yield "11 runpy", Raw("runpy", "run_path", marker).bytes()
    yield "12 FunctionType", Raw("types", "FunctionType", Raw("os", "system"), {}).bytes()
    yield "13 cloudpickle", Raw("cloudpickle.cloudpickle", "_make_function", None, None, None, None, None).bytes()
    yield "14 PERSID", b"Pid\n."
    yield "14 BINPERSID", b"\x80\x02U\x01xQ."
    yield "15 EXT1", b"\x80\x02\x82\x01."
    yield "15 EXT4", b"\x80\x02\x84\x01\x00\x00\x00."
    yield "16 dotted os", _stack_global("pandas", "io.common.os.system", touch)
    yield "17 builtins of a module", _stack_global("numpy", "__builtins__.exec", code)
    yield "18 runstring", _stack_global("numpy.testing._private.utils", "runstring", code, {})
    yield "19 runstring, protocol 2", Raw("numpy.testing._private.utils", "runstring", code, {}).bytes(protocol=2)
    yield "20 f2py", Raw("numpy.f2py.crackfortran", "myeval", code).bytes()
    yield "21 read_pickle", Raw("pandas", "read_pickle", marker).bytes()
    yield "22 np.load", Raw("numpy", "load", marker, None, True).bytes()
    yield "23 pandas.eval", Raw("pandas", "eval", code).bytes()
    yield "24 memmap", Raw("numpy", "memmap", marker, "uint8", "w+", 0, (1,)).bytes()
    yield "24 savetxt", Raw("numpy", "savetxt", marker, [1.0]).bytes()
    yield "25 read_csv of a file", Raw("pandas", "read_csv", marker).bytes()
    yield "25 read_csv of a page", Raw("pandas", "read_csv", "http://127.0.0.1:9/x.csv").bytes()
    yield "26 dlopen", Raw("ctypes", "CDLL", marker).bytes()
    yield "26 dlopen of numpy", Raw("numpy.ctypeslib", "load_library", "x", "/").bytes()
    yield "27 name prefix", Raw("numpyevil", "run", touch).bytes()
    yield "28 import side effect", Raw("antigravity", "webbrowser").bytes()
    yield "28 import of this", Raw("this", "s").bytes()
    yield "29 BUILD on a module", b"\x80\x04cnumpy\n__dict__\n}X\x01\x00\x00\x00aK\x01sb."
    yield "29 BUILD on a class", b"\x80\x04cpandas\nDataFrame\n}X\x04\x00\x00\x00loadK\x01sb."
    yield "29 BUILD on a method", b"\x80\x04cpandas\nDataFrame\n)R(NX\x0c\x00\x00\x00__setstate__K\x01d\x86b."
    yield "29 BUILD of a call", b"\x80\x04cpandas\nDataFrame\n)R}(X\x08\x00\x00\x00__call__cos\nsystem\nubb."
    yield "30 memory by a list", b"\x80\x04" + b"]" + b"2a" * 40 + b"."
    yield "30 memory by bytes", b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x."
    yield "30 memory by text", b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"x."
    yield (
        "30 memory by an array",
        (b"\x80\x04" + b"cnumpy._core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\x00\x85C\x01b\x87R."),
    )
    yield "30 memory by a memo number", b"\x80\x02Nr\xff\xff\xff\xff."
    yield "31 hash bomb", pickle.dumps({(2**61 - 1) * k: None for k in range(4000)})
    yield (
        "32 laughs",
        b"\x80\x04](X\x03\x00\x00\x00lol"
        + b"".join((b"q" + bytes([n]) + b"](" + (b"h" + bytes([n])) * 10 + b"e") for n in range(30))
        + b"e.",
    )
    yield "32 nesting", b"\x80\x04" + b"]" * 60_000 + b"a" * 59_999 + b"."
    yield "32 a list in itself", b"\x80\x04]q\x00h\x00a."
    yield "33 truncated", pickle.dumps(list(range(1000)))[:-40]
    yield "33 empty", b""
    yield "33 a second pickle", pickle.dumps(1) + Raw("os", "system", touch).bytes()
    yield (
        "37 joblib",
        b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81" + Raw("os", "system", touch).bytes()[2:],
    )
    yield "37 dill", Raw("dill._dill", "_create_function", None, {}).bytes()
    yield "37 7z", b"7z\xbc\xaf\x27\x1c" + Raw("os", "system", touch).bytes()


def others(marker: str) -> Iterator[tuple[str, bytes]]:
    """Yield hostile files of other formats."""
    import numpy as np  # noqa: PLC0415 - only where it is measured afterwards
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    evil = Raw("os", "system", f"touch {marker}").bytes()
    head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    yield "36 npy of objects", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + evil
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    yield "36 npy of a lying shape", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + b"x" * 64
    head = f"{{'descr': __import__('os').system('touch {marker}'), 'fortran_order': False, 'shape': (1,)}}".encode()
    yield "36 npy with a call", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head
    yield "36 npz", _zipped({"a.npy": b"\x93NUMPY\x01\x00\x00\x00" + evil})
    yield "37 torch", _zipped({"archive/data.pkl": evil, "archive/version": b"3"})
    yield "38 YAML", f"a: !!python/object/apply:os.system ['touch {marker}']\n".encode()
    yield (
        "38 YAML that laughs",
        "\n".join(
            ["a0: &a0 {k: lol}", *(f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}" for n in range(1, 40))]
        ).encode(),
    )
    table = pa.table({"a": pa.array(np.zeros(1000))})
    yield "39 parquet of somebody else", _parquet(pq, table)
    whole = _parquet(pq, table)
    for place in range(4, len(whole), max(1, len(whole) // 12)):
        yield f"39 parquet changed at {place}", whole[:place] + b"\xff\xff\xff\x7f" + whole[place + 4 :]
    yield "39 parquet with a lying footer", whole[:-8] + struct.pack("<I", 0x7FFFFFFF) + b"PAR1"
    yield "39 parquet with an extension type", _parquet(pq, _with_extension(pa, evil))
    yield "39 parquet that unfolds", _bomb(pa, pq)
    yield "40 safetensors of 2^63", struct.pack("<Q", 1 << 63) + b"{}"
    yield (
        "40 safetensors that overlap",
        struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}      ',
    )
    yield "40 LightGBM of huge counts", b"tree\nversion=v4\nnum_class=-1\nmax_feature_idx=2147483647\n\nTree=0\n"
    yield "40 zip that leaves", _zipped({"../marker": b"x", "/marker": b"x"})
    yield "40 tar that leaves", _tarred(marker)
    yield "40 skops of a foreign type", _skops("os", "system")
    yield "40 skops of a method", _skops("builtins", "eval")
    yield "40 JSON that nests", b"[" * 100_000
    yield (
        "40 JSON of a dataset",
        json.dumps(
            {"format": 1, "states": [], "dataset": {"class": "system", "module_path": "os", "kwargs": {"command": "x"}}}
        ).encode(),
    )
    yield "40 JSON of digits", b"9" * 1_000_000


def sealed_ones(marker: str, own: bytes, other: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield envelopes that are not what they should be: `own` is good under another name, `other` is another key's."""
    del marker
    yield "34 one bit flipped", own[:-1] + bytes([own[-1] ^ 1])
    yield "34 one bit of the head flipped", own[:120] + bytes([own[120] ^ 4]) + own[121:]
    yield "35 another key", other
    yield "35 another name", own
    yield "35 cut", own[:-5]


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def _tarred(marker: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("../marker", marker):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/"
        archive.addfile(link)
    return buffer.getvalue()


def _skops(module: str, name: str) -> bytes:
    node = {"__class__": name, "__module__": module, "__loader__": "FunctionNode", "content": {}, "__id__": 1}
    return _zipped({"schema.json": json.dumps({**node, "protocol": 2, "_skops_version": "0.13"}).encode()})


def _parquet(pq: Any, table: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _with_extension(pa: Any, evil: bytes) -> Any:
    meta = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": evil}
    return pa.table([pa.array([1.0])], schema=pa.schema([pa.field("a", pa.float64(), metadata=meta)]))


def _bomb(pa: Any, pq: Any) -> bytes:
    """Return a file of a few kB that is 100 million rows, with the notes of ours that make it a frame."""
    rows, part = 100_000_000, 4_000_000
    schema = pa.schema([("a", pa.float64())])
    buffer = io.BytesIO()
    block = pa.table([pa.array([0.0]).take(_zeros(pa, part))], schema=schema)
    meta = {
        "format": 1, "shape": "frame", "unnamed": False, "rows": rows, "labels": _labels(),
        "index": {"kind": "range", "names": _names(), "range": [0, rows, 1]},
        "columns": [{"kind": "plain", "dtype": "float64", "coded": False}],
    }  # fmt: skip
    with pq.ParquetWriter(buffer, schema, compression="zstd", write_statistics=False) as writer:
        for _ in range(rows // part):
            writer.write_table(block, row_group_size=part)
        writer.add_key_value_metadata({"rollwright": json.dumps(meta)})
    return buffer.getvalue()


def _zeros(pa: Any, count: int) -> Any:
    import numpy as np  # noqa: PLC0415

    return pa.array(np.zeros(count, dtype=np.int8))


def _labels() -> dict[str, Any]:
    return {"kind": "text", "values": ["a"], "names": [None]}


def _names() -> dict[str, Any]:
    return {"kind": "text", "values": [None], "names": [None]}


def build(folder: Path, marker: Path) -> None:
    """Write the corpus to `folder`, one file each, so that the process which is measured does not make it."""
    from rollwright.signing.envelope import seal  # noqa: PLC0415
    from rollwright.signing.keys import Keyring  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    evil = Raw("os", "system", f"touch {marker}").bytes()
    own = seal(evil, fmt="artifact 2", name="another.pkl")
    other = seal(evil, fmt="artifact 2", name="x.pkl", keyring=Keyring(folder / "other-keys"))
    everything = (*pickles(str(marker)), *others(str(marker)), *sealed_ones(str(marker), own, other))
    for place, (name, body) in enumerate(everything):
        (folder / f"{place:03d} {name.replace('/', '_')}.bin").write_bytes(body)


def doors(work: Path, name: str) -> Callable[[Path], object]:
    """Return what tries to open one file at the door `name`."""
    from rollwright.config.context import install  # noqa: PLC0415
    from rollwright.config.settings import load_settings  # noqa: PLC0415

    install(load_settings({"tracking.uri": f"memory:{work.name}"}, start=work, environ={}))
    made = {"artifact": _artifact_door, "import": _import_door, "cache": _cache_door, "download": _download_door}
    plain = {"result": _result_door, "yaml": _yaml_door, "serializable": _serializable_door}
    return made[name](work) if name in made else plain[name]


def _recorder() -> Any:
    from rollwright.tracking.r import R  # noqa: PLC0415

    with R.start(experiment_name="exp"):
        R.save_objects(**{"x.pkl": {"a": 1}})
        return R.get_recorder()


def _artifact_door(work: Path) -> Callable[[Path], object]:
    """Return what puts the file in the place of an artifact, with a manifest to match, of each kind in turn."""
    import hashlib  # noqa: PLC0415

    from rollwright.codecs.registry import codecs  # noqa: PLC0415
    from rollwright.errors import RollwrightError  # noqa: PLC0415

    del work
    recorder = _recorder()
    local = Path(recorder.get_local_dir())
    kinds = codecs.kinds()
    for kind in kinds:
        codecs.for_kind(kind)

    def door(path: Path) -> None:
        body = path.read_bytes()
        opened: list[str] = []
        refused: RollwrightError | None = None
        for kind in kinds:
            (local / "artifacts" / "x.bin").write_bytes(body)
            row = {"name": "x.pkl", "file": "x.bin", "kind": kind, "sha256": hashlib.sha256(body).hexdigest()}
            text = json.dumps({"format": 1, "artifacts": [{**row, "length": len(body)}]})
            (local / "artifacts.json").write_text(text)
            begun = time.process_time()
            try:
                recorder.load_object("x.pkl")
            except RollwrightError as error:
                refused = error
            except BaseException as error:  # the parent names it
                raise AssertionError(f"{kind}: {type(error).__name__}: {error}") from error
            else:
                opened.append(kind)
            if time.process_time() - begun > 2:
                raise AssertionError(f"{kind} took {time.process_time() - begun:.1f} s")
        if opened:
            raise LookupError(",".join(opened))
        assert refused is not None
        raise refused

    return door


def _import_door(work: Path) -> Callable[[Path], object]:
    from rollwright.compat.pickle_child import convert  # noqa: PLC0415

    return lambda path: convert(path, work)


def _result_door(path: Path) -> object:
    from rollwright.core.canonical import parse_json  # noqa: PLC0415
    from rollwright.core.references import from_reference  # noqa: PLC0415

    body = path.read_bytes()
    from_reference({"answer": base64.b64encode(body).decode()})  # data stay data
    return from_reference(parse_json(json.dumps({"$reference": body.decode("latin1")})))


def _cache_door(work: Path) -> Callable[[Path], object]:
    from rollwright.dataset.loader import StaticDataLoader  # noqa: PLC0415

    def door(path: Path) -> object:
        (work / "cache.parquet").write_bytes(path.read_bytes())
        return StaticDataLoader(str(work / "cache.parquet")).load()

    return door


def _download_door(work: Path) -> Callable[[Path], object]:
    recorder = _recorder()

    def door(path: Path) -> object:
        recorder.log_artifact(path)
        recorder.download_artifact(path.name, work / "down")
        return recorder.load_object(path.name)

    return door


def _yaml_door(path: Path) -> object:
    from rollwright.campaign.yaml.document import read_document  # noqa: PLC0415

    return read_document(path, environ={})


def _serializable_door(path: Path) -> object:
    from rollwright.signing.serializable import Serializable  # noqa: PLC0415

    return Serializable.load(path)


def main() -> None:
    """Try one door with every file of the folder, and tell of each in a line of JSON."""
    import resource  # noqa: PLC0415

    from rollwright.errors import RollwrightError  # noqa: PLC0415

    name, folder, work, marker = sys.argv[1], *map(Path, sys.argv[2:5])
    if name == "build":
        build(folder, marker)
        return
    work.mkdir(parents=True)
    os.chdir(work)
    door = doors(work, name)
    with suppress(Exception):  # what it imports at its first use is not the file's doing
        (work / "first.bin").write_bytes(b"")
        door(work / "first.bin")
    for path in sorted(folder.glob("*.bin")):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = time.process_time()
        print(json.dumps({"trying": path.stem}), flush=True)  # noqa: T201 - the last one is what ended the process
        try:
            door(path)
            told = "opened"
        except RollwrightError as error:
            told = type(error).__name__
        except LookupError as error:
            told = f"opened as {error}"
        except BaseException as error:  # noqa: BLE001 - it is told
            told = f"NOT TYPED {type(error).__name__}: {str(error)[:300]}"
        row = {
            "name": path.stem,
            "told": told,
            "seconds": round(time.process_time() - begun, 3),
            "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
            "marker": marker.exists(),
        }
        print(json.dumps(row), flush=True)  # noqa: T201 - to the test


if __name__ == "__main__":
    main()
