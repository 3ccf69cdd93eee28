"""One query, one answer: random definitions and queries, asked of every store and of a reading of MongoDB's rules."""

from __future__ import annotations

import random
import re

import pytest

from rollwright.pool.manager import TaskManager
from rollwright.pool.query import parse
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.sqlite import query as query_module
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.urls import store_from_url

KEYS = ["a", "a", "a", "b", "b", "c.d", "0", "é"]
ASKED = ["a", "a", "a", "b", "b", "é", "0", "1"]
SCALARS = [None, True, False, 0, 1, 2, 1.0, 2.5, -1, "", "a", "ab", "b", "2", "line\nbreak", "Ä"]
SCALARS += [-0.0, 10, 1e15, 1e16, 1e-7, 0.1 + 0.2, '"', "\\", "\x7f", "[", '"a":1']


def value(rng: random.Random, depth: int):
    kind = rng.random()
    if depth == 0 or (kind < 0.4 and depth < 4):
        return rng.choice(SCALARS)
    if kind < 0.7:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(KEYS): value(rng, depth - 1) for _ in range(rng.randrange(4))}


def path(rng: random.Random) -> str:
    return ".".join(["def.x", *(rng.choice(ASKED) for _ in range(rng.choice([0, 1, 1, 2, 2, 3])))])


def condition(rng: random.Random, depth: int = 1):
    kind = rng.randrange(12)
    if kind < 3:
        return value(rng, 2)
    if kind == 3:
        return {rng.choice(["$in", "$nin"]): [value(rng, 1) for _ in range(rng.randrange(4))]}
    if kind == 4:
        return {rng.choice(["$ne", "$eq"]): value(rng, 1)}
    if kind < 8:
        return {rng.choice(["$gt", "$gte", "$lt", "$lte"]): rng.choice([0, 1, 2.5, "a", "ab", ""])}
    if kind == 8:
        return {"$exists": rng.random() < 0.5}
    if kind == 9:
        return {
            "$regex": rng.choice(["a", "^a", "b$", "^$", "[^a]", "A|2", "^.{2}$", "e\\nb", "ä"]),
            "$options": rng.choice(["", "i"]),
        }
    if kind == 10 and depth:
        inner = condition(rng, depth - 1)
        return {"$not": inner if is_operators(inner) else {"$eq": inner}}
    return {"$gte": 0, "$lt": 2}


def is_operators(inner) -> bool:
    return isinstance(inner, dict) and bool(inner) and all(key.startswith("$") for key in inner)


def query(rng: random.Random, depth: int = 2):
    if depth and rng.random() < 0.3:
        return {rng.choice(["$and", "$or", "$nor"]): [query(rng, depth - 1) for _ in range(rng.randrange(1, 4))]}
    return {path(rng): condition(rng) for _ in range(rng.choice([1, 1, 1, 2]))}


# MongoDB's rules, read anew and slowly: what a path leads to, then what is asked of it.
GONE = object()


def reached(found, parts):
    if not parts:
        return [found]
    if isinstance(found, dict):
        if parts[0] in ("0", "1") or parts[0] not in found:  # keys of digits cannot be asked for here
            return [GONE]
        return reached(found[parts[0]], parts[1:])
    if not isinstance(found, list):
        return [GONE]
    if parts[0] in ("0", "1"):
        return reached(found[int(parts[0])], parts[1:]) if int(parts[0]) < len(found) else []
    return [one for item in found if isinstance(item, dict) for one in reached(item, parts)]


def same(one, other):
    if other is None:
        return one is None or one is GONE
    if isinstance(one, bool) or isinstance(other, bool) or one is None or one is GONE:
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return type(one) is type(other) and repr(sort(one)) == repr(sort(other))


def sort(one):
    if isinstance(one, dict):
        return {key: sort(one[key]) for key in sorted(one)}
    return [sort(item) for item in one] if isinstance(one, list) else one


def holds(asked, document) -> bool:
    for name, wanted in asked.items():
        if name == "$and":
            true = all(holds(part, document) for part in wanted)
        elif name in ("$or", "$nor"):
            true = any(holds(part, document) for part in wanted) is (name == "$or")
        else:
            found = reached(document, name.split(".")[1:])
            found += [item for one in found if isinstance(one, list) for item in one]
            true = asks(wanted, found)
        if not true:
            return False
    return True


def asks(wanted, found) -> bool:
    if not is_operators(wanted):
        return any(same(one, wanted) for one in found)
    return all(ask(name, term, wanted, found) for name, term in wanted.items() if name != "$options")


def ask(name, term, wanted, found) -> bool:
    orders = {
        "$gt": lambda a, b: a > b,
        "$gte": lambda a, b: a >= b,
        "$lt": lambda a, b: a < b,
        "$lte": lambda a, b: a <= b,
    }
    if name in ("$in", "$nin"):
        return any(same(one, each) for one in found for each in term) is (name == "$in")
    if name in ("$eq", "$ne"):
        return any(same(one, term) for one in found) is (name == "$eq")
    if name == "$exists":
        return any(one is not GONE for one in found) is term
    if name == "$not":
        return not asks(term, found)
    if name == "$regex":
        flags = re.ASCII | (re.IGNORECASE if wanted.get("$options") else 0)
        return any(isinstance(one, str) and re.search(term.replace("$", r"\Z"), one, flags) for one in found)
    numbers = isinstance(term, int | float)
    return any(
        not isinstance(one, bool) and isinstance(one, (int, float) if numbers else str) and orders[name](one, term)
        for one in found
    )


@pytest.fixture(params=["memory", "sqlite", "postgres", "mongo"])
def manager(request, tmp_path):
    if request.param == "memory":
        store = MemoryStore()
    elif request.param == "sqlite":
        store = SqliteStore(tmp_path / "pool.db", durable=False)
    else:
        store = store_from_url(request.getfixturevalue(f"{request.param}_url"))
    yield TaskManager("asked", store=store)
    if request.param != "memory":
        store.close()


@pytest.mark.parametrize("seed", range(3))
def test_every_store_gives_the_answers_of_the_rules(manager, seed):
    rng = random.Random(seed)
    documents = [{"n": number, "x": value(rng, 4)} for number in range(60)] + [{"n": 60}]
    manager.create_task(documents)
    answers = 0
    for _ in range(180):
        asked = query(rng)
        expected = [document["n"] for document in documents if holds(asked, document)]
        found = [record.definition["n"] for record in manager.store.find("asked", parse(asked))]
        assert found == expected, asked
        answers += 0 < len(found) < len(documents)
    assert answers > 50
    some = query(rng)
    assert manager.remove(some) == sum(holds(some, document) for document in documents)


SOURCES = [
    "", "^a", "a$", "^$", "^ab?c*$", "a|b", "^(a|b)c", "(?:ab){2,3}$", "[^a-c]", "[]a]", "[a-]", r"\d\w\s",
    r"^\D+$", r"a\.b",
    r"\[x\]", "^.$", "a.c", r"\n", "é", "[é-ü]", "^LGB.*Model$", "(a|bc|)d$", r"^[\^&\-\\]+$", r"\$x", "#", "a b",
]  # fmt: skip
TEXTS = [
    "", "a", "b", "ab", "abc", "ac", "bc", "abab", "ababab", "a.b", "[x]", "]", "-", "a\nc", "\n", "a\n",
    "1a ", "12.5", "é", "ö",
    "LGBModel", "LGB ✓ Model", "d", "bcd", "A", "aB", "^&-\\", "$x", "#", "a b", "É",
]  # fmt: skip


def test_a_pattern_means_the_same_to_every_engine(manager):
    manager.create_task([{"t": text} for text in TEXTS])
    for source in SOURCES:
        for options in ("", "i"):
            flags = re.ASCII | (re.IGNORECASE if options else 0)
            ascii_only = [text for text in TEXTS if not options or text.isascii()]
            expected = [
                text for text in ascii_only if re.search(re.sub(r"(?<!\\)\$", r"\\Z", source), text, flags) is not None
            ]
            asked = {"def.t": {"$regex": source, "$options": options, "$in": ascii_only}}
            assert [task["def"]["t"] for task in manager.query(asked)] == expected, (source, options)


def test_results_and_claims_are_asked_the_same_way(manager):
    manager.create_task([{"n": 1, "tags": ["gpu", "big"]}, {"n": 2, "tags": "gpu"}, {"n": 3, "tags": []}, {"n": 4}])
    for asked, numbers in (
        ({"def.tags": "gpu"}, [1, 2]),
        ({"def.tags": {"$nin": ["big", None]}}, [2, 3]),
        ({"def.tags": {"$regex": "^G", "$options": "i"}}, [1, 2]),
        ({"def.tags": re.compile("ig$")}, [1]),
        ({"def.tags": {"$not": {"$regex": "i"}}}, [2, 3, 4]),
        ({"def.tags": None}, [4]),
        ({"def.tags": []}, [3]),
        ({"def.tags": ["gpu", "big"]}, [1]),
        ({"def.tags.0": "gpu"}, [1]),
        ({"status": {"$regex": "^wait"}, "def.n": {"$gt": 3}}, [4]),
        ({"$nor": [{"def.tags": "gpu"}, {"def.n": 4}]}, [3]),
    ):
        assert [task["def"]["n"] for task in manager.query(asked)] == numbers, asked
    task = manager.fetch_task({"def.tags": "big"})
    manager.commit_task_res(task, [{"ic": 0.1}, {"ic": 0.3, "name": "late"}])
    for asked in ({"res.ic": {"$gt": 0.2}}, {"res.name": "late"}, {"res.name": {"$ne": "early"}, "status": "done"}):
        assert [task["def"]["n"] for task in manager.query(asked)] == [1], asked
    assert manager.fetch_task({"def.tags": {"$in": ["big"]}}) is None
    assert manager.fetch_task({"def.tags": {"$regex": "gp"}})["def"]["n"] == 2


def test_a_row_that_cannot_match_is_not_looked_into(tmp_path, monkeypatch):
    asked = []
    original = query_module._json_holds
    monkeypatch.setattr(query_module, "_json_holds", lambda *given: asked.append(given) or original(*given))
    store = SqliteStore(tmp_path / "pool.db", durable=False)
    manager = TaskManager("asked", store=store)
    manager.create_task([{"n": number, "tags": {"seed": number % 10, "other": 3}} for number in range(200)])
    for wanted, most in (
        ({"def.n": 77}, 1),
        ({"def.n": 7}, 11 + 1),  # 7 and what begins with it
        ({"def.tags.seed": 3}, 20),
        ({"def.tags.seed": {"$ne": 3}}, 20),
        ({"def.tags.seed": {"$in": [3, 4.0]}}, 40),
        ({"def.tags.gone": {"$exists": True}}, 0),
    ):
        asked.clear()
        manager.task_stat(wanted)
        assert len(asked) <= most, wanted
    store.close()
