"""A store that speaks the part of Amazon's S3 that a client of files needs, on loopback and in memory.

An object appears when all of its bytes have arrived. Faults are planned by the test: see `S3Server.fault`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

KEY_ID = "AKIAROLLWRIGHTTEST01"
SECRET = "a-secret-that-no-log-may-show"
BUCKET = "house"
_SAFE = re.compile(r"Credential=([^/]+)/")


class S3Server:
    """Buckets, the requests that came, and the fault that the next requests meet.

    Attributes
    ----------
    objects : dict of str to bytes
        By ``bucket/key``.
    requests : Counter
        By (method, kind of key).
    fault : callable or None
        Called with the method and the path of each request: returns None to answer it, a status to refuse it, or
        ``cut`` to close the connection, in a write after its bytes were taken, or ``hang`` to say nothing until
        `released` is set.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.buckets = {BUCKET}
        self.requests: Counter[str] = Counter()
        self.fault: Callable[[str, str], Any] | None = None
        self.mutex = threading.Lock()
        self.released = threading.Event()
        self.url = ""

    def environment(self) -> dict[str, str]:
        """Return what a client finds this server by."""
        return {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip

    def keys(self, head: str = "") -> list[str]:
        """Return the keys of the bucket below `head`."""
        return sorted(
            key.removeprefix(f"{BUCKET}/") for key in list(self.objects) if key.startswith(f"{BUCKET}/{head}")
        )


@contextmanager
def running() -> Iterator[S3Server]:
    """Run a server while the block does."""
    state = S3Server()

    class Handler(_Handler):
        server_state = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_state: S3Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Return an object, a range of it, or a list."""
        self._serve(self._get)

    def do_HEAD(self) -> None:
        """Return what is known of an object."""
        self._serve(self._get)

    def do_PUT(self) -> None:
        """Store an object or a part of one."""
        self._serve(self._put)

    def do_POST(self) -> None:
        """Begin or end an upload in parts, or remove several objects."""
        self._serve(self._post)

    def do_DELETE(self) -> None:
        """Remove an object."""
        self._serve(self._delete)

    def _serve(self, answer: Callable[[str, dict[str, list[str]], bytes], None]) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path).strip("/")
        query = parse_qs(parts.query, keep_blank_values=True)
        body = self._body()
        state = self.server_state
        state.requests[self.command] += 1
        fault = state.fault(self.command, path) if state.fault is not None else None
        named = _SAFE.search(self.headers.get("Authorization", ""))
        if fault == "hang":
            state.released.wait(20)
        if fault in ("cut", "hang"):
            self.close_connection = True
            return
        if isinstance(fault, int):
            codes = {503: "SlowDown", 403: "AccessDenied", 500: "InternalError"}
            self._refuse(fault, codes[fault])
        elif named is None or named[1] != KEY_ID:
            self._refuse(403, "InvalidAccessKeyId")
        elif path.partition("/")[0] not in state.buckets:
            self._refuse(404, "NoSuchBucket")
        else:
            answer(path, query, body)

    def _get(self, path: str, query: dict[str, list[str]], _body: bytes) -> None:
        if "/" not in path:
            self._list(path, query)
            return
        data = self.server_state.objects.get(path)
        if data is None:
            self._refuse(404, "NoSuchKey")
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers = {"ETag": _etag(data), "Last-Modified": "Mon, 02 Jan 2023 00:00:00 GMT", "Accept-Ranges": "bytes"}
        if wanted is None:
            self._answer(200, data, headers)
            return
        start, end = int(wanted[1]), int(wanted[2] or len(data) - 1)
        if start >= len(data):
            self._refuse(416, "InvalidRange")
            return
        end = min(end, len(data) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        self._answer(206, data[start : end + 1], headers)

    def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
        head, divider = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        rows, folders = [], set()
        with self.server_state.mutex:
            found = sorted(self.server_state.objects.items())
        for path, data in found:
            key = path.removeprefix(f"{bucket}/")
            if not path.startswith(f"{bucket}/") or not key.startswith(head):
                continue
            below = key[len(head) :]
            if divider and divider in below:
                folders.add(head + below.partition(divider)[0] + divider)
                continue
            rows.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>2023-01-02T00:00:00.000Z</LastModified>"
                f"<ETag>{escape(_etag(data))}</ETag><Size>{len(data)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        common = [f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)]
        self._xml(
            f"<ListBucketResult><Name>{bucket}</Name><Prefix>{escape(head)}</Prefix><IsTruncated>false</IsTruncated>"
            f"<KeyCount>{len(rows)}</KeyCount><MaxKeys>1000</MaxKeys>{''.join(rows)}{''.join(common)}</ListBucketResult>"
        )

    def _put(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        if "uploadId" in query:
            self.server_state.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = body
        else:
            with self.server_state.mutex:
                self.server_state.objects[path] = body
        self._answer(200, b"", {"ETag": _etag(body)})

    def _post(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        state = self.server_state
        if "uploads" in query:
            token = secrets.token_hex(8)
            state.uploads[token] = {}
            self._xml(f"<InitiateMultipartUploadResult><UploadId>{token}</UploadId></InitiateMultipartUploadResult>")
        elif "uploadId" in query:
            parts = state.uploads.pop(query["uploadId"][0])
            data = b"".join(parts[number] for number in sorted(parts))
            with state.mutex:
                state.objects[path] = data
            self._xml(
                f"<CompleteMultipartUploadResult><ETag>{escape(_etag(data))}</ETag></CompleteMultipartUploadResult>"
            )
        else:
            keys = [item.text for item in ET.fromstring(body).iter() if item.tag.endswith("Key")]
            with state.mutex:
                for key in keys:
                    state.objects.pop(f"{path}/{key}", None)
            self._xml("<DeleteResult></DeleteResult>")

    def _delete(self, path: str, _query: dict[str, list[str]], _body: bytes) -> None:
        with self.server_state.mutex:
            self.server_state.objects.pop(path, None)
        self._answer(204, b"", {})

    def _body(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return data
        plain = b""
        while data:
            size, _, data = data.partition(b"\r\n")
            length = int(size.partition(b";")[0], 16)
            if not length:
                break
            plain, data = plain + data[:length], data[length + 2 :]
        return plain

    def _refuse(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{code} of {escape(self.path)}</Message></Error>".encode()
        self._answer(status, text, {"Content-Type": "application/xml"})

    def _xml(self, text: str) -> None:
        self._answer(200, f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), {"Content-Type": "application/xml"})

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'
