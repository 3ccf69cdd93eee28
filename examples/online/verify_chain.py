"""Verify the ledger of a serving without rollwright: ``python verify_chain.py FILE [POOL] [NUMBER:DIGEST ...]``.

FILE: what ``rollwright online audit --export`` wrote, or a database of SQLite with the POOL (``online.NAME``) in it.
NUMBER:DIGEST of an entry, noted elsewhere, shows a chain that was written anew as a whole or cut.
"""

import hashlib
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path


def read_lines(file: str, pool: str) -> list[str]:
    content = Path(file).read_bytes()
    if not content.startswith(b"SQLite format 3\0"):
        return content.decode().strip("\n").split("\n")
    with closing(sqlite3.connect(f"{Path(file).resolve().as_uri()}?mode=ro", uri=True)) as database:
        found = database.execute("SELECT result FROM task WHERE pool = ? AND status = 'done' ORDER BY id", (pool,))
        return [line for (line,) in found]


def find_problem(lines: list[str], known: dict[str, str]) -> str | None:
    before = "0" * 64
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            digest, numbered, linked = entry.pop("digest"), entry["number"], entry["before"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return f"line {number} is no entry"
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if numbered != number:
            return f"entry {number} is missing: entry {numbered!r} stands in its place"
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            return f"entry {number} was changed: its digest is not that of what it says"
        if linked != before:
            return f"entry {number} does not hold the digest of entry {number - 1}"
        if known.pop(str(number), digest) != digest:
            return f"entry {number} is not the one that was known: the chain was written anew"
        before = digest
    return f"entry {min(known)} was known, and is missing" if known else None


if __name__ == "__main__":
    file, *others = sys.argv[1:]
    lines = read_lines(file, next((other for other in others if ":" not in other), ""))
    known = dict(other.split(":") for other in others if ":" in other)
    problem = find_problem(lines, known) if lines else "there is no entry"
    print(problem or f"{len(lines)} entries, the last one {json.loads(lines[-1])['digest']}")
    sys.exit(bool(problem))
