"""Environments: made once, whole or not at all, by uv and by pip; packages come from a folder of wheels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from rollwright.compare.environments import installers
from rollwright.compare.environments.folder import EnvironmentFolder
from rollwright.compare.environments.installers import PipInstaller, UvInstaller, find_installer
from rollwright.compare.environments.lock_text import seal_lock
from rollwright.compare.environments.own_wheel import pack_wheel
from rollwright.core.locks import file_lock
from rollwright.errors import CompareError, ConfigError, EnvironmentFailedError, MissingExtraError
from tiny_wheels import make_wheels, offline_environment, tiny_rollwright, tiny_wheel

pytest.importorskip("uv", reason="not run: the extra `compare` is not installed")
BOTH = ["uv", "pip"]
TWO = "--"  # the options themselves stand in no file of the project
BOTH_SLOW = ["uv", pytest.param("pip", marks=pytest.mark.slow)]


@pytest.fixture
def wheels(tmp_path):
    return make_wheels(tmp_path / "wheels")


@pytest.fixture
def opened(tmp_path, wheels):
    """Open a folder of environments; all that were opened are closed at the end."""
    stores = []

    def open_folder(choice="uv", *, root="environments", wheel=tiny_rollwright, **options):
        environ = {**offline_environment(wheels), **options.pop("environ", {})}
        store = EnvironmentFolder(
            tmp_path / root, installer=find_installer(choice), wheel=wheel, environ=environ, **options
        )
        stores.append(store)
        return store

    yield open_folder
    for store in stores:
        store.close()


@pytest.fixture
def asked(tmp_path):
    def write(*lines):
        path = tmp_path / f"{abs(hash(lines))}.txt"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


def run(environment, code):
    ran = subprocess.run([environment.python, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def names(store):
    """What is in the folder, locks and logs aside."""
    return sorted(path.name for path in store.root.iterdir() if path.name not in ("locks", "logs", "compiled"))


@pytest.mark.parametrize("choice", BOTH_SLOW)
def test_conflicting_versions_stand_side_by_side_with_the_same_rollwright(opened, asked, choice):
    store = opened(choice)
    made = [store.ensure(store.compile(asked(f"tiny-model=={version}"))) for version in ("1.0", "2.0")]
    code = "import rollwright, tiny_core, tiny_model; print(tiny_core.VERSION, tiny_model.VERSION)"
    assert [run(one, code) for one in made] == ["1.0 1.0", "2.0 2.0"]
    for one in made:
        assert one.path == store.root / one.lock.key
        assert one.python.is_relative_to(one.path)
        ran = subprocess.run([one.path / "bin" / "rollwright"], capture_output=True, text=True, check=True)
        assert ran.stdout == "tiny\n"
        named = [path for path in (one.path / "bin").iterdir() if b"/.tmp-" in path.read_bytes()]
        assert not named  # nothing names the folder it was made in
    assert names(store) == sorted(one.lock.key for one in made)


def test_both_installers_compile_the_same_lock_of_one_wheel_each(opened, asked):
    locks = [opened(choice, root=choice).compile(asked("tiny-model<2", "tiny-tool")) for choice in BOTH]
    assert locks[0] == locks[1]
    assert [line.partition(" ")[0] for line in locks[0].text.splitlines() if "==" in line] == [
        "tiny-core==1.0",
        "tiny-model==1.0",
        "tiny-tool==1.0",
    ]
    assert "://" not in locks[0].text
    assert "--" not in locks[0].text.replace("--hash=sha256:", "")


def test_the_same_file_gives_the_same_lock_until_locks_are_forgotten(opened, asked, wheels):
    store, file = opened(), asked("tiny-tool")
    first = store.compile(file)
    newer = tiny_wheel("tiny-tool", "2.0")
    (wheels / newer.file_name).write_bytes(newer.content)
    assert opened().compile(asked("# the same\n", "tiny_tool")) == first
    assert store.forget_locks() == 1
    assert "tiny-tool==2.0" in store.compile(file).text


def test_a_damaged_compiled_lock_is_compiled_anew_and_told(opened, asked, caplog):
    store, file = opened(), asked("tiny-tool")
    first = store.compile(file)
    (path,) = (store.root / "compiled").iterdir()
    path.write_text(f"{TWO}index-url https://index.invalid/simple\n")
    assert opened().compile(file) == first
    assert "environment.lock_unreadable" in caplog.text


def test_another_content_of_rollwright_is_another_environment_with_the_same_packages(opened, asked):
    one = opened().compile(asked("tiny-tool"))
    other = opened(wheel=lambda: tiny_rollwright("changed")).compile(asked("tiny-tool"))
    assert one.text == other.text
    assert one.key != other.key
    with pytest.raises(CompareError, match="a lock was made for rollwright"):
        opened().ensure(other)


def test_locks_that_were_changed_or_made_elsewhere_are_refused(opened, asked):
    store = opened()
    lock = store.compile(asked("tiny-tool"))
    with pytest.raises(CompareError, match="the key of a lock is not that"):
        store.ensure(replace(lock, text=lock.text.replace("1.0", "2.0")))
    with pytest.raises(CompareError, match="the key of a lock is not that"):
        store.ensure(replace(lock, key="../" * 3))
    with pytest.raises(CompareError, match="a line of a lock"):
        store.ensure(replace(lock, text=f"{TWO}index-url https://index.invalid/simple\n{lock.text}"))
    elsewhere = seal_lock(lock.text, python="3.9.1-amiga-68000", rollwright=lock.rollwright)
    with pytest.raises(CompareError, match=r"made for Python 3\.9\.1-amiga-68000"):
        store.ensure(elsewhere)
    assert names(store) == []


@pytest.mark.parametrize("choice", BOTH)
def test_an_archive_with_other_bytes_than_the_lock_says_is_not_installed(opened, asked, wheels, tmp_path, choice):
    store = opened(choice)
    lock = store.compile(asked("tiny-tool"))
    forged = tiny_wheel("tiny-tool", "1.0", requires=("tiny-core",))
    (wheels / forged.file_name).write_bytes(forged.content)
    store = opened(choice, environ={"UV_CACHE_DIR": str(tmp_path / "cache")})  # where uv has not kept the true one
    with pytest.raises(EnvironmentFailedError, match="the packages cannot be installed") as caught:
        store.ensure(lock)
    assert re.search("hash", caught.value.message, re.IGNORECASE)
    assert names(store) == []


@pytest.mark.parametrize("choice", BOTH)
def test_versions_that_do_not_fit_end_with_what_the_installer_said(opened, asked, choice):
    store = opened(choice)
    with pytest.raises(EnvironmentFailedError, match="the packages cannot be chosen") as caught:
        store.compile(asked("tiny-model==2.0", "tiny-core<2"))
    error = caught.value
    assert "tiny-core" in error.message
    assert error.exit_code == 3
    assert "no versions fit" in error.hint
    assert "tiny-core" in (store.root / "logs").joinpath(os.path.basename(error.log)).read_text()
    assert names(store) == []


def test_a_package_that_is_only_there_as_source_is_not_built(opened, asked, wheels):
    (wheels / "only-source-1.0.tar.gz").write_bytes(b"not even an archive")
    with pytest.raises(EnvironmentFailedError) as caught:
        opened().compile(asked("only-source"))
    assert "only as source" in caught.value.hint


def test_passwords_of_the_index_are_neither_in_the_error_nor_in_the_log(opened, asked):
    index = {"UV_OFFLINE": "0", "UV_HTTP_RETRIES": "0", "UV_DEFAULT_INDEX": "http://bob:hunter2@127.0.0.1:9/simple"}
    with pytest.raises(EnvironmentFailedError) as caught:
        opened(environ=index).compile(asked("absent-package"))
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
    with open(caught.value.log) as log:
        said = log.read()
    assert "127.0.0.1" in said
    assert "hunter2" not in said
    assert "did not answer" in caught.value.hint


@pytest.mark.parametrize("choice", BOTH_SLOW)
def test_what_would_install_elsewhere_is_not_passed_on(opened, asked, tmp_path, choice):
    elsewhere = tmp_path / "elsewhere"
    environ = {
        **dict.fromkeys(("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONPATH", "PYTHONHOME"), str(elsewhere)),
        "PIP_USER": "1",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "VIRTUAL_ENV": str(elsewhere),
        "UV_SYSTEM_PYTHON": "1",
        "UV_OVERRIDE": str(elsewhere),
        "ROLLWRIGHT_POOL__URL": "postgresql://u:hunter2@localhost/x",
    }
    for choice in BOTH:
        store = opened(choice, root=choice, environ=environ)
        assert (
            run(store.ensure(store.compile(asked("tiny-tool"))), "import tiny_tool, sys; print(sys.flags.isolated)")
            == "0"
        )
    assert not elsewhere.exists()


def test_threads_that_ask_for_one_environment_get_the_one_that_was_made(opened, asked, caplog):
    caplog.set_level("INFO", logger="rollwright.compare")
    store = opened()
    lock = store.compile(asked("tiny-model"))
    gate = threading.Barrier(6)

    def ask(_):
        gate.wait()
        return store.ensure(lock)

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(ask, range(6)))
    assert len({one.path for one in made}) == 1
    assert caplog.text.count("environment.made") == 1


@pytest.mark.parametrize("spoil", ["remove", "cut", "manifest", "interpreter"])
def test_a_damaged_environment_is_found_and_made_anew(opened, asked, caplog, spoil):
    lock = opened().compile(asked("tiny-tool"))
    with opened() as store:
        environment = store.ensure(lock)
    (module,) = environment.path.glob("lib/python*/site-packages/tiny_tool/__init__.py")
    target = {"manifest": environment.path / "rollwright-environment.json", "interpreter": environment.python}
    if spoil == "cut":
        module.unlink()
        module.write_text("")
    else:
        target.get(spoil, module).unlink()
    (listed,) = store.entries()
    assert listed.state == "damaged"
    assert run(opened().ensure(lock), "import tiny_tool; print(tiny_tool.VERSION)") == "1.0"
    assert "environment.damaged" in caplog.text
    assert names(store) == [lock.key]


def test_bytecode_and_new_files_are_no_damage(opened, asked):
    store = opened()
    environment = store.ensure(store.compile(asked("tiny-tool")))
    run(environment, "import tiny_tool")
    (environment.path / "lib" / "cache-of-a-package").write_text("x")
    assert [one.state for one in store.entries()] == ["whole"]


def test_an_environment_in_use_is_neither_removed_nor_made_anew(opened, asked):
    user, other = opened(), opened()
    lock = user.compile(asked("tiny-tool"))
    environment = user.ensure(lock)
    assert [one.in_use for one in other.entries()] == [True]
    assert other.remove(lock.key) is False
    (environment.path / "pyvenv.cfg").unlink()
    with pytest.raises(EnvironmentFailedError, match="damaged, and another process uses it"):
        opened(clock=QuickClock()).ensure(lock)
    user.close()
    assert other.remove(lock.key) is True
    assert names(other) == []
    assert not other.log_of(lock.key).exists()
    assert other.remove(lock.key) is True  # nothing is there, and nothing stands in the way


class QuickClock:
    """A clock on which waiting takes no time."""

    def sleep(self, seconds):
        assert seconds > 0

    def monotonic(self):
        return 0.0


def test_what_killed_builds_left_goes_with_the_next_one(opened, asked):
    store = opened()
    lock = store.compile(asked("tiny-tool"))
    for key in (lock.key, "f" * 64, "e" * 64):
        (store.root / f".tmp-{key}-0123abcd" / "environment").mkdir(parents=True)
    store.ensure(lock)
    assert names(store) == [f".tmp-{'e' * 64}-0123abcd", f".tmp-{'f' * 64}-0123abcd", lock.key]
    with file_lock(store.root / "locks" / f"{'e' * 64}.build"):  # somebody makes this one
        assert store.remove_leftovers() == 1
    assert names(store) == [f".tmp-{'e' * 64}-0123abcd", lock.key]


def test_the_longest_unused_is_listed_first(opened, asked):
    store = opened()
    locks = [store.compile(asked(name)) for name in ("tiny-tool", "tiny-model", "tiny-core==1.0")]
    for lock in locks:
        store.ensure(lock)
    for lock, age in zip(locks, (30, 10, 20), strict=True):
        os.utime(store.root / "locks" / f"{lock.key}.use", (1e9 - age, 1e9 - age))
    listed = store.entries()
    assert [one.key for one in listed] == [locks[index].key for index in (0, 2, 1)]
    assert listed[0].packages == {"rollwright": "0.1.0", "tiny-core": "2.0", "tiny-tool": "1.0"}
    assert listed[0].size > 1000
    assert (listed[0].installer, listed[0].python) == ("uv", locks[0].python)


def test_a_wheel_that_cannot_be_imported_makes_no_environment(opened, asked):
    store = opened(wheel=broken_rollwright)
    lock = store.compile(asked("tiny-tool"))
    with pytest.raises(EnvironmentFailedError, match="rollwright cannot be imported"):
        store.ensure(lock)
    assert names(store) == []


def broken_rollwright():
    described = {"METADATA": "Metadata-Version: 2.1\nName: rollwright\nVersion: 0.1.0\n"}
    return pack_wheel("rollwright", "0.1.0", {"rollwright/__init__.py": b"import absent_module\n"}, described, ())


def test_pip_knows_no_day_after_which_nothing_is_chosen(opened, asked):
    with pytest.raises(ConfigError, match="2026-01-01"):
        opened("pip", exclude_newer="2026-01-01").compile(asked("tiny-tool"))


def test_uv_is_taken_where_it_is_and_pip_elsewhere(monkeypatch, tmp_path):
    assert isinstance(find_installer("auto"), UvInstaller)
    assert isinstance(find_installer("pip"), PipInstaller)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setattr(installers, "require", absent)
    assert isinstance(find_installer("auto"), PipInstaller)
    with pytest.raises(MissingExtraError, match="uv"):
        find_installer("uv")
    program = tmp_path / "uv"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert isinstance(find_installer("uv"), UvInstaller)


def absent(module, *, extra):
    raise MissingExtraError(module, extra)
