"""Scores as bytes: JSON, CSV, Arrow and Parquet, each made once and sent as it is."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from rollwright.app.online.serve import Scores
from rollwright.web.media import Media

__all__ = ["Rendition", "render_latest", "render_scores", "render_table"]

_ZIPPED: Final = (Media.JSON, Media.CSV)
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """One answer in one format.

    Attributes
    ----------
    media : Media
    body : bytes
    zipped : bytes or None
        The same compressed by gzip, where that makes it smaller.
    etag : str
        Names these bytes: the entry, the digest and the format.
    file_name : str
        What a file of it is called.
    """

    media: Media
    body: bytes
    zipped: bytes | None
    etag: str
    file_name: str

    def headers(self, *, zipped: bool) -> list[tuple[str, str]]:
        """Return the headers of an answer that sends it."""
        sent = self.zipped if zipped and self.zipped is not None else self.body
        headers = [
            ("content-type", self.media.value),
            ("content-length", str(len(sent))),
            *self.validators(zipped=zipped),
        ]
        if sent is self.zipped:
            headers.append(("content-encoding", "gzip"))
        if self.media is not Media.JSON:
            headers.append(("content-disposition", f"attachment; filename*=UTF-8''{quote(self.file_name)}"))
        return headers

    def validators(self, *, zipped: bool) -> list[tuple[str, str]]:
        """Return the headers that an answer has which only says that nothing changed."""
        tag = f'"{self.etag}.gz"' if zipped and self.zipped is not None else f'"{self.etag}"'
        return [("etag", tag), ("vary", "accept, accept-encoding"), ("cache-control", "private, no-cache")]


def render_latest(scores: Scores) -> dict[Media, Rendition]:
    """Return scores of one session in every format."""
    return {media: render_scores(scores, media) for media in Media}


def render_scores(scores: Scores, media: Media) -> Rendition:
    """Return scores of one session in one format.

    JSON has them as an object by instrument, with what they are around it; the tables have the columns `session`,
    `instrument` and `score`. A score that is not finite is null, in CSV empty.
    """
    name = "-".join([scores.serving, *([scores.strategy] if scores.strategy else []), scores.session])
    if media is Media.JSON:
        body = json.dumps(
            {**describe_scores(scores), "scores": _to_numbers(scores)}, ensure_ascii=False, allow_nan=False
        ).encode()
        return _make(media, body, identity=scores.identity, name=name)
    return render_table([scores], media, identity=scores.identity, name=name)


def describe_scores(scores: Scores) -> dict[str, str | int | None]:
    """Return what scores are, without the scores."""
    return {
        "serving": scores.serving,
        "session": scores.session,
        "strategy": scores.strategy,
        "entry": scores.entry,
        "sha256": scores.reference.sha256,
        "rows": scores.reference.rows,
    }


def render_table(
    several: Sequence[Scores], media: Media, *, identity: str, name: str, with_strategy: bool = False
) -> Rendition:
    """Return scores of several sessions or strategies as one table in one format, in the order that they have."""
    table = _Table(several=tuple(several), with_strategy=with_strategy)
    writers = {
        Media.JSON: table.write_json,
        Media.CSV: table.write_csv,
        Media.ARROW: table.write_arrow,
        Media.PARQUET: table.write_parquet,
    }
    return _make(media, writers[media](), identity=identity, name=name)


def _make(media: Media, body: bytes, *, identity: str, name: str) -> Rendition:
    zipped = gzip.compress(body, compresslevel=6, mtime=0) if media in _ZIPPED else None
    return Rendition(
        media=media,
        body=body,
        zipped=zipped if zipped is not None and len(zipped) < len(body) else None,
        etag=f"{identity}.{media.suffix}",
        file_name=f"{name.replace(':', '')}.{media.suffix}",
    )


def _to_number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _to_numbers(scores: Scores) -> dict[str, float | None]:
    return {str(name): _to_number(value) for name, value in scores.values.items()}


def _to_cell(text: str) -> str:
    """Return a text that no spreadsheet computes."""
    return f"'{text}" if text.startswith(_FORMULAS) else text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    several: tuple[Scores, ...]
    with_strategy: bool

    def write_json(self) -> bytes:
        signals = [{**describe_scores(one), "scores": _to_numbers(one)} for one in self.several]
        return json.dumps({"signals": signals}, ensure_ascii=False, allow_nan=False).encode()

    def write_csv(self) -> bytes:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["session", *(["strategy"] if self.with_strategy else []), "instrument", "score"])
        for one in self.several:
            lead = [one.session, *([_to_cell(one.strategy or "")] if self.with_strategy else [])]
            for name, number in _to_numbers(one).items():
                writer.writerow([*lead, _to_cell(name), "" if number is None else repr(number)])
        return buffer.getvalue().encode()

    def to_arrow(self) -> pa.Table:
        counts = [len(one.values) for one in self.several]
        numbers = [_to_numbers(one) for one in self.several]
        columns = {"session": _repeat([one.session for one in self.several], counts)}
        if self.with_strategy:
            columns["strategy"] = _repeat([one.strategy for one in self.several], counts)
        columns["instrument"] = pa.array([name for one in numbers for name in one], pa.string())
        columns["score"] = pa.array([value for one in numbers for value in one.values()], pa.float64())
        described = json.dumps([describe_scores(one) for one in self.several], ensure_ascii=False)
        return pa.table(columns).replace_schema_metadata({"rollwright": described})

    def write_arrow(self) -> bytes:
        table = self.to_arrow()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    def write_parquet(self) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(self.to_arrow(), sink, compression="zstd")
        return bytes(sink.getvalue())


def _repeat(texts: Sequence[str | None], counts: Sequence[int]) -> pa.Array:
    return pa.array([text for text, count in zip(texts, counts, strict=True) for _ in range(count)], pa.string())
