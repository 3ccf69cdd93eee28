"""Locks from elsewhere: they choose versions of what is required anyway, and bring nothing of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollwright.compare.environment import Environment
from rollwright.compare.environments.lock_text import seal_lock
from rollwright.compare.given_locks import GivenLocks
from rollwright.errors import CompareError

FILE = Path("requirements.txt")


def make_pin(name, version="1.0", digest="a"):
    return f"{name}=={version} \\\n    --hash=sha256:{digest * 64}\n"


class Compiled:
    """A store that compiles every file to the same lock."""

    def __init__(self, text):
        self.text = text
        self.made = []
        self.is_closed = False

    def compile(self, _requirements):
        return seal_lock(self.text, python="3.11.7-linux-x86_64", rollwright="w")

    def ensure(self, lock):
        self.made.append(lock.key)
        return Environment(lock=lock, path=Path(), python=Path("python"))

    def log_of(self, key):
        return Path(f"{key}.log")

    def close(self):
        self.is_closed = True


HERE = make_pin("alpha", "2.0") + make_pin("beta", "2.0")


def test_a_given_lock_chooses_versions_and_its_environment_is_made():
    store = Compiled(HERE)
    locks = GivenLocks(store, {FILE: make_pin("alpha", "1.0", "b") + make_pin("beta", "1.9", "c")})
    lock = locks.compile(FILE)
    assert "alpha==1.0" in lock.text
    assert "beta==1.9" in lock.text
    assert locks.ensure(lock).lock == lock
    assert store.made == [lock.key]
    assert locks.log_of(lock.key) == Path(f"{lock.key}.log")
    locks.close()
    assert store.is_closed


def test_other_files_are_compiled_as_ever():
    store = Compiled(HERE)
    assert GivenLocks(store, {FILE: make_pin("alpha")}).compile(Path("other.txt")) == store.compile(FILE)
    assert GivenLocks(store, {FILE: HERE}).compile(FILE) == store.compile(FILE)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (HERE + make_pin("evil"), "evil"),
        (make_pin("alpha"), "beta"),
        ("--no-deps\n" + HERE, "--no-deps"),
        (HERE + "-r other.txt\n", "-r other.txt"),
        (HERE + "gamma @ http://127.0.0.1/x.whl\n", "gamma"),
        ("alpha==1.0\nbeta==1.0\n", "alpha"),
        (make_pin("alpha") + make_pin("alpha") + make_pin("beta"), "alpha"),
        (make_pin("alpha", "1.0 --pre") + make_pin("beta"), "alpha"),
        ("", "alpha"),
    ],
    ids=[
        "a package more",
        "one less",
        "an index",
        "another file",
        "an address",
        "no digest",
        "twice",
        "option",
        "none",
    ],
)
def test_what_is_more_or_less_than_versions_is_refused_and_named(given, named):
    store = Compiled(HERE)
    with pytest.raises(CompareError, match=named):
        GivenLocks(store, {FILE: given}).compile(FILE)
    assert store.made == []
