"""The manifest: which state of the data is which, and no damage that passes as data."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.errors import CorruptFileError, DataError, RollwrightError
from rollwright.market.folder.adopt_changes import adopt_changes
from rollwright.market.folder.atomic_replace import replace_folder, write_file
from rollwright.market.folder.manifest import FILES_NAME, MANIFEST_NAME, external_generation, read_manifest
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.check import check_data
from rollwright.market.ingest.importer import import_market

DAYS = pd.bdate_range("2020-01-01", periods=40)


def frame(codes=("AAA", "BBB"), days=DAYS, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        [(code, day, *rng.uniform(1, 9, 2)) for code in codes for day in days],
        columns=["symbol", "date", "close", "volume"],
    )


@pytest.fixture
def market(tmp_path):
    import_market(frame(), tmp_path / "market")
    return tmp_path / "market"


def everything(path: Path):
    """Read all that a provider can tell."""
    provider = QlibProvider(path)
    codes = provider.instruments()
    members = {name: dict(provider.members(name)) for name in provider.universes()}
    block = provider.load(["close", "volume"], codes, 0, provider.calendar().known)
    return provider.calendar().values.tolist(), codes, members, block.tobytes(), provider.bounds(codes).tolist()


def test_each_import_is_an_entry_with_what_it_did(market):
    import_market(frame(codes=("CCC",), days=DAYS[20:]), market)
    manifest, _ = read_manifest(market)
    first, second = manifest.imports
    assert (first.kind, first.rows, first.instruments, first.sessions, first.fields) == (
        "create", 80, 2, 40, ("close", "volume"),
    )  # fmt: skip
    assert (second.counter, second.kind, second.instruments, second.sessions) == (2, "append", 1, 0)
    assert second.first_changed == f"{DAYS[20]:%Y-%m-%d}"
    assert manifest.generation.startswith(f"{manifest.dataset}-2-")
    assert json.loads((market / "rollwright.json").read_text())["generation"] == manifest.generation


def test_the_same_imports_give_the_same_generation_and_others_another(tmp_path, market):
    import_market(frame(), tmp_path / "twin")
    import_market(frame(seed=1), tmp_path / "other")
    one, twin, other = (QlibProvider(path).generation for path in (market, tmp_path / "twin", tmp_path / "other"))
    assert one == twin != other
    # The same number of imports is not the same data.
    import_market(frame(codes=("CCC",)), market)
    import_market(frame(codes=("CCC",), seed=7), tmp_path / "twin")
    assert QlibProvider(market).generation != QlibProvider(tmp_path / "twin").generation


FILES = [
    "rollwright.json",
    "rollwright.files",
    "calendars/day.txt",
    "instruments/all.txt",
    "features/aaa/close.day.bin",
]


@pytest.mark.parametrize("name", FILES)
def test_sweep_no_damage_passes_as_data(market, name):
    whole = everything(market)
    path = market / name
    sound = path.read_bytes()
    rng = np.random.default_rng(1)
    damaged = []
    for bit in rng.choice(len(sound) * 8, 200, replace=False):
        broken = bytearray(sound)
        broken[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(broken))
    damaged += [sound[:length] for length in rng.choice(len(sound), 50, replace=False)]
    at = int(rng.integers(0, max(1, len(sound) - 32)))
    damaged.append(sound[:at] + bytes(min(4096, len(sound) - at)) + sound[at + 4096 :])
    silent = 0
    for broken in damaged:
        path.write_bytes(broken)
        try:
            silent += everything(market) != whole
        except CorruptFileError:
            continue
    assert silent == 0


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_vanished_is_missed(market, name):
    (market / name).unlink()
    with pytest.raises(RollwrightError, match=r"missing|no calendar"):
        everything(market)


def test_a_hand_that_changed_a_file_is_told_how_to_accept_it(market):
    before = QlibProvider(market).generation
    rows = (market / "instruments" / "all.txt").read_text().splitlines()
    (market / "instruments" / "all.txt").write_text(rows[0] + "\n")
    with pytest.raises(CorruptFileError, match="--accept"):
        QlibProvider(market).members("all")
    adopt_changes(market)
    provider = QlibProvider(market)
    assert set(provider.members("all")) == {"AAA"}
    assert provider.generation != before
    assert provider.unchanged_before(before) == 40


def test_accepting_series_of_other_tools_changes_everything_from_the_first_session(market):
    before = QlibProvider(market).generation
    (market / "features" / "aaa" / "vwap.day.bin").write_bytes(np.array([0, 1, 2], "<f4").tobytes())
    assert "vwap" not in QlibProvider(market).fields()
    adopt_changes(market)
    provider = QlibProvider(market)
    assert "vwap" in provider.fields()
    assert provider.unchanged_before(before) == 0


def test_a_folder_of_other_tools_can_be_accepted_and_then_extended(market):
    for name in ("rollwright.json", "rollwright.files"):
        (market / name).unlink()
    whole = everything(market)
    assert QlibProvider(market).manifest is None
    first = adopt_changes(market)
    assert first.counter == 1
    assert everything(market) == whole
    import_market(frame(codes=("CCC",)), market)
    assert QlibProvider(market).manifest.counter == 2


def test_an_import_into_a_folder_of_other_tools_keeps_what_is_there(market):
    for name in ("rollwright.json", "rollwright.files"):
        (market / name).unlink()
    report = import_market(frame(codes=("CCC",)), market)
    assert (report.kind, report.added_instruments) == ("append", 1)
    assert QlibProvider(market).instruments() == ("AAA", "BBB", "CCC")


def test_a_replacement_shares_what_did_not_change_and_never_writes_into_it(market):
    old = os.stat(market / "features" / "bbb" / "close.day.bin").st_ino
    held = (market / "features" / "aaa" / "close.day.bin").open("rb")
    sound = (market / "features" / "aaa" / "close.day.bin").read_bytes()
    import_market(frame(codes=("AAA",), days=DAYS[-1:] + pd.offsets.BDay(1)), market)
    assert os.stat(market / "features" / "bbb" / "close.day.bin").st_ino == old
    with held:
        assert held.read() == sound


def test_two_replacements_at_once_do_not_lose_one(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"0")

    def overtaken() -> None:
        with replace_folder(tmp_path / "data") as slow:
            with replace_folder(tmp_path / "data") as fast:
                write_file(fast / "a", b"fast")
            write_file(slow / "a", b"slow")

    with pytest.raises(DataError, match="another import"):
        overtaken()
    assert (tmp_path / "data" / "a").read_bytes() == b"fast"
    assert {path.name for path in tmp_path.iterdir()} - {"work", "home"} == {"data"}


def test_what_a_killed_import_left_is_swept_by_the_next(tmp_path):
    (tmp_path / ".data.staging-999999999-abc123").mkdir()
    with replace_folder(tmp_path / "data") as staging:
        write_file(staging / "a", b"1")
    assert {path.name for path in tmp_path.iterdir()} - {"work", "home"} == {"data"}


def test_the_folder_one_stands_in_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    with pytest.raises(DataError, match="working directory"), replace_folder(Path()):
        pass


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "data").write_text("x")
    with pytest.raises(DataError, match="is a file"), replace_folder(tmp_path / "data"):
        pass


def test_readers_see_one_version_or_the_other_while_a_writer_replaces_them(tmp_path):
    """Every version holds one number throughout; a block with two numbers would be a mixture."""

    def version(number: int) -> pd.DataFrame:
        values = frame(codes=("AAA", "BBB", "CCC"), days=DAYS[:5])
        return values.assign(close=float(number), volume=float(number))

    import_market(version(0), tmp_path / "market")
    stop, mixed, reads = threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            try:
                provider = QlibProvider(tmp_path / "market")
                block = provider.load(["close", "volume"], provider.instruments(), 0, 5)
            except DataError:  # replaced meanwhile, and said so
                continue
            reads.append(float(block[0, 0, 0]))
            if len(np.unique(block)) != 1:
                mixed.append(block)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 9):
        import_market(version(number), tmp_path / "market", revise=True)
    stop.set()
    for reader in readers:
        reader.join(20)
    assert reads
    assert mixed == []


def put_period_files(folder: Path) -> list[str]:
    """Write two files of a field by period as Qlib's layout has them, and return their names in the file table."""
    names = [f"financial/aaa/roe_q.{end}" for end in ("data", "index")]
    (folder / "financial" / "aaa").mkdir(parents=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(bytes(range(number, number + 40)))
    return names


@pytest.fixture
def with_periods(market):
    """A folder with fields by period that counts in its manifest."""
    put_period_files(market)
    adopt_changes(market)
    return market


def problems(folder):
    findings = check_data(folder).findings
    return [(found.kind, found.where) for found in findings if "financial" in found.where]


def test_files_of_fields_by_period_are_listed_with_their_digests_and_kept_by_imports(with_periods):
    listed = {name: entry for name, entry in QlibProvider(with_periods).files().items() if "financial" in name}
    assert sorted(listed) == ["financial/aaa/roe_q.data", "financial/aaa/roe_q.index"]
    import_market(frame(codes=("CCC",)), with_periods)
    after = QlibProvider(with_periods).files()
    assert {name: after[name] for name in listed} == listed
    assert problems(with_periods) == []


def test_a_flip_in_a_file_of_a_field_by_period_is_seen_before_and_after_an_import(with_periods):
    path = with_periods / "financial" / "aaa" / "roe_q.data"
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(bytes(data))
    assert problems(with_periods) == [("corrupt", "financial/aaa/roe_q.data")]
    import_market(frame(codes=("CCC",)), with_periods)
    assert problems(with_periods) == [("corrupt", "financial/aaa/roe_q.data")]
    before = QlibProvider(with_periods).generation
    adopt_changes(with_periods)
    provider = QlibProvider(with_periods)
    assert problems(with_periods) == []
    assert provider.generation != before
    assert provider.unchanged_before(before) == 0


def test_a_missing_and_an_unlisted_file_of_a_field_by_period_are_told(with_periods):
    (with_periods / "financial" / "aaa" / "roe_q.index").unlink()
    (with_periods / "financial" / "aaa" / "pe_q.data").write_bytes(b"1")
    assert problems(with_periods) == [("corrupt", "financial/aaa/roe_q.index"), ("unlisted", "financial/aaa/pe_q.data")]


def test_fields_by_period_have_an_identity_of_their_own_in_a_folder_of_other_tools(market):
    for name in ("rollwright.json", "rollwright.files"):
        (market / name).unlink()

    def look():
        source = QlibProvider(market)
        return source.generation, source.vintage_generation(["roe_q"])

    states = [look()]
    names = put_period_files(market)
    states.append(look())
    (market / names[0]).write_bytes(b"other")
    states.append(look())
    assert len({daily for daily, _ in states}) == 1, "the daily data are the same"
    assert len({known for _, known in states}) == 3
    assert set(names) <= QlibProvider(market).files().keys()
    import_market(frame(codes=("CCC",)), market)
    assert set(names) <= QlibProvider(market).files().keys()


def test_a_system_that_cannot_exchange_names_replaces_a_folder_in_two_steps(market, monkeypatch):
    monkeypatch.setattr("rollwright.market.folder.atomic_replace.exchange_names", lambda _one, _other: False)
    import_market(frame(codes=("CCC",)), market)
    assert QlibProvider(market).instruments() == ("AAA", "BBB", "CCC")
    assert [path.name for path in market.parent.iterdir() if path.name.startswith(".market")] == []


def test_a_folder_of_other_tools_becomes_a_dataset_named_by_its_own_state(market):
    for name in (MANIFEST_NAME, FILES_NAME):
        (market / name).unlink()
    found = external_generation(market)
    import_market(frame(days=pd.bdate_range(DAYS[-1] + pd.Timedelta(days=1), periods=2)), market)
    named, _ = read_manifest(market)
    assert named.dataset == hashlib.sha256(found.encode()).hexdigest()[:16]
    import_market(frame(days=pd.bdate_range(DAYS[-1] + pd.Timedelta(days=8), periods=2)), market)
    assert read_manifest(market)[0].dataset == named.dataset
