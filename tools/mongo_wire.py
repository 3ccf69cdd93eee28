"""A server that speaks MongoDB's wire protocol, for the tests: found, fetched, started, and never left behind.

Which one: ``ROLLWRIGHT_TEST_MONGODB_URL``, else ``mongod`` on the PATH, else mongo-java-server from the folder that
``python tools/mongo_wire.py fetch`` fills (``ROLLWRIGHT_TEST_MONGO_JARS``, else the user's cache). Nothing is fetched
unless that is asked for.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ABSENT", "VERSION", "WireServer", "described", "fetch", "find_server", "running"]

VERSION: Final = "1.47.0"
ABSENT: Final = "not run: no MongoDB-wire server (set ROLLWRIGHT_TEST_MONGODB_URL, or run tools/mongo_wire.py fetch)"
_CENTRAL: Final = "https://repo1.maven.org/maven2"
_PATIENCE: Final = 60.0
_JARS: Final[Mapping[str, str]] = {
    f"de/bwaldvogel/mongo-java-server-core/{VERSION}/mongo-java-server-core-{VERSION}.jar": (
        "9a34c9ad6ac6261906295481838256033ec1efc8c93a3e3828e5d47a006b0bd4"
    ),
    f"de/bwaldvogel/mongo-java-server-memory-backend/{VERSION}/mongo-java-server-memory-backend-{VERSION}.jar": (
        "82864f8a2ede1514f64c2cd3a70e8022c259eb3d78975cfa208c1668ac1f12bb"
    ),
    "io/netty/netty-buffer/4.2.2.Final/netty-buffer-4.2.2.Final.jar": (
        "4820eeb2d3db269b20b30711e3d7d21979664249aaf10fc67f90dee935810747"
    ),
    "io/netty/netty-codec-base/4.2.2.Final/netty-codec-base-4.2.2.Final.jar": (
        "76987614ccb2fda7d3292b69ba5b61351f30e91bf5c7d8fa4b51bc32c9f67456"
    ),
    "io/netty/netty-common/4.2.2.Final/netty-common-4.2.2.Final.jar": (
        "5d022f3acad74cb0f195f60213500a4000d1340e5e941edaf1a0e756686b9bae"
    ),
    "io/netty/netty-handler/4.2.2.Final/netty-handler-4.2.2.Final.jar": (
        "d4ef582c78125457baa0cfa52992b5fb1bb9172d1a2c03b726e8b26e17d3fe2c"
    ),
    "io/netty/netty-resolver/4.2.2.Final/netty-resolver-4.2.2.Final.jar": (
        "fa7841ffe2e39d52251814fb8560d6936b10ae7c67453ee50426b83fd5170ba0"
    ),
    "io/netty/netty-transport/4.2.2.Final/netty-transport-4.2.2.Final.jar": (
        "116d766a1af4722fe76a4cdaed969644985d44e08ec1337d2dbab697dd109603"
    ),
    "org/slf4j/slf4j-api/2.0.17/slf4j-api-2.0.17.jar": (
        "7b751d952061954d5abfed7181c1f645d336091b679891591d63329c622eb832"
    ),
}
"""The server and what it needs at run time, from Maven Central, by path, with their SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireServer:
    """A server that can be used.

    Attributes
    ----------
    name : str
        What it is, with its version.
    url : str or None
        Where it runs already; None when it is to be started.
    command : tuple of str
        What starts it.
    """

    name: str
    url: str | None = None
    command: tuple[str, ...] = ()


def jar_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the jars."""
    given = environ.get("ROLLWRIGHT_TEST_MONGO_JARS")
    cache = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "~"), ".cache")
    folder = Path(given) if given else Path(cache) / "rollwright" / f"mongo-java-server-{VERSION}"
    return folder.expanduser()


def find_server(environ: Mapping[str, str] = os.environ) -> WireServer | None:
    """Return the server the tests use, or None when there is none."""
    url = environ.get("ROLLWRIGHT_TEST_MONGODB_URL")
    if url:
        return WireServer(name="the server of ROLLWRIGHT_TEST_MONGODB_URL", url=url)
    mongod = shutil.which("mongod", path=environ.get("PATH"))
    if mongod is not None:
        told = subprocess.run([mongod, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"v[\d.]+", told)
        return WireServer(name=f"mongod {version.group() if version else '(unknown version)'}", command=(mongod,))
    folder = jar_folder(environ)
    java = shutil.which("java", path=environ.get("PATH"))
    if java is None or not (Path(java).resolve().parent / "javac").exists():
        return None
    if not all((folder / Path(path).name).is_file() for path in _JARS):
        return None
    options = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g")
    source = str(Path(__file__).with_name("MongoWire.java"))
    return WireServer(name=f"mongo-java-server {VERSION}", command=(java, *options, "-cp", str(folder / "*"), source))


def described(server: WireServer | None) -> str:
    """Return what is told of the server in the first lines of a test run."""
    if server is None:
        return ABSENT
    if server.url is None:
        return server.name
    import pymongo  # noqa: PLC0415 - fetching needs none

    try:
        with pymongo.MongoClient[dict[str, object]](server.url, serverSelectionTimeoutMS=3000) as client:
            told = client.admin.command("buildInfo")
    except pymongo.errors.PyMongoError as error:
        return f"{server.name} does not answer ({type(error).__name__})"
    return f"{server.name}, which says it is version {told.get('ferretdbVersion', told['version'])}"


# Ends the server when nobody holds the other end of standard input any more, however they ended.
_WATCH: Final = """"$@" </dev/null & server=$!
cat >/dev/null
exec 0</dev/null
kill "$server" 2>/dev/null
wait "$server" 2>/dev/null"""


@contextmanager
def running(server: WireServer, shared: Path) -> Iterator[str]:
    """Return the URL of `server` for the block; whoever names the same folder meanwhile shares it.

    The first one starts it. Each user holds the write end of a named pipe; the server ends when the last of them has
    gone, also by being killed.
    """
    if server.url is not None:
        yield server.url
        return
    shared.mkdir(parents=True, exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        hold = _join(shared)
        if hold is None:
            hold = _start(server, shared)
    try:
        yield (shared / "url").read_text(encoding="utf-8")
    finally:
        os.close(hold)


def _join(shared: Path) -> int | None:
    """Return a hold on a server that runs, or None."""
    try:
        return os.open(shared / "hold", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # no pipe, or nobody reads it
        return None


def _start(server: WireServer, shared: Path) -> int:
    pipe = shared / "hold"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    hold = os.open(pipe, os.O_WRONLY)
    os.set_blocking(reader, True)
    command, url = list(server.command), ""
    if command[0].endswith("mongod"):
        data = tempfile.mkdtemp(dir=shared)
        url = f"mongodb://127.0.0.1:{_free_port()}"
        command += ["--dbpath", data, "--bind_ip", "127.0.0.1", "--port", url.rpartition(":")[2]]
    log = shared / "log"
    try:
        with log.open("w") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _WATCH, "sh", *command],
                stdin=reader,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + _PATIENCE
        ready = "Waiting for connections" if url else "mongodb://"
        while ready not in log.read_text(encoding="utf-8"):
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError(f"{server.name} did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")
            time.sleep(0.02)  # noqa: TID251 - the server is another process
        process.returncode = 0  # it may outlive this process for others' sake, so nobody here waits for it
    except BaseException:
        os.close(hold)
        raise
    finally:
        os.close(reader)
    if not url:
        url = next(line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("mongodb://"))
    (shared / "url").write_text(url.rstrip("/"), encoding="utf-8")
    return hold


def _free_port() -> int:
    import socket  # noqa: PLC0415 - for mongod alone, which takes no port 0

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(folder: Path) -> None:
    """Bring the jars that are missing or damaged into `folder`, each checked by its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, digest in _JARS.items():
        target = folder / Path(path).name
        if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == digest:
            continue
        with urllib.request.urlopen(f"{_CENTRAL}/{path}", timeout=60) as answer:
            data = answer.read()
        if hashlib.sha256(data).hexdigest() != digest:
            raise RuntimeError(f"{path}: what was fetched has another SHA-256 than expected; it was thrown away")
        part = target.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(data)
        part.replace(target)


def main(arguments: list[str]) -> int:
    """Fetch the server, or say which one the tests would use."""
    if arguments == ["fetch"]:
        try:
            fetch(jar_folder())
        except (OSError, urllib.error.URLError, RuntimeError) as error:
            print(f"mongo-java-server was not fetched: {error}", file=sys.stderr)
            return 3
    elif arguments:
        print("usage: mongo_wire.py [fetch]", file=sys.stderr)
        return 2
    print(f"MongoDB wire: {described(find_server())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
