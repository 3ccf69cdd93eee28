"""Damaged, replaced and half-written files of fields by period: right data or a typed error, nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import period_replacing
import qlib_period_files
from crash_size import sized
from rollwright.app.pit import check_fields
from rollwright.errors import CorruptFileError
from rollwright.market.folder.adopt_changes import adopt_changes
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.market.ingest.periods.period_import import import_periods

CODES = ("AAA", "BBB")
DAYS = pd.bdate_range("2008-01-01", periods=3)
FLIPS, CUTS, PAGE = 200, 50, 4096


def make_market(target: Path) -> Path:
    rows = pd.MultiIndex.from_product([DAYS, CODES], names=["date", "symbol"]).to_frame(index=False)
    import_market(rows.assign(close=1.0), target)
    return target


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    """A market with a field of 600 records of 150 quarters, restated at random: three pages of records."""
    target = make_market(tmp_path_factory.mktemp("market") / "market")
    draw = np.random.default_rng(5)
    quarter = draw.integers(0, 150, 600)
    dates = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.sort(draw.integers(0, 7000, 600)), unit="D")
    period = (1970 + quarter // 4) * 100 + quarter % 4 + 1
    rows = zip(
        dates.strftime("%Y%m%d").astype(int).tolist(), period.tolist(), draw.normal(size=600).tolist(), strict=True
    )
    qlib_period_files.write(target, "aaa", "x_q", rows)
    adopt_changes(target)
    return target


def damages(data: bytes, seed: int):
    """Give 200 flips of a bit, 50 truncations and a page of zeros, each with the first byte that is another."""
    draw = np.random.default_rng(seed)
    for bit in draw.choice(len(data) * 8, FLIPS, replace=False).tolist():
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped), bit // 8
    for size in draw.choice(len(data), CUTS, replace=False).tolist():
        yield data[:size], size
    start = PAGE if len(data) > 2 * PAGE else 0
    yield data[:start] + bytes(min(PAGE, len(data) - start)) + data[start + PAGE :], start


def read(provider: QlibProvider) -> list[bytes]:
    return [column.tobytes() for column in provider.vintages("x_q", ["AAA"])]


@pytest.mark.parametrize("ending", [".data", ".index"])
def test_law_damage_under_a_manifest_gives_the_right_data_or_a_typed_error(market, tmp_path, ending):
    shutil.copytree(market, tmp_path / "market")
    provider = QlibProvider(tmp_path / "market")
    right = read(provider)
    path = tmp_path / "market" / "financial" / "aaa" / f"x_q{ending}"
    whole = path.read_bytes()
    refused = 0
    for damaged, _ in damages(whole, 1):
        path.write_bytes(damaged)
        try:
            assert read(provider) == right
        except CorruptFileError as error:
            assert error.path == path  # noqa: PT017 - which of the two comes is what is tested
            refused += 1
    assert refused == (FLIPS + CUTS + 1 if ending == ".data" else 0)  # of an index nothing is read


def test_law_damage_of_files_of_other_tools_is_found_but_in_values_and_dates(market, tmp_path):
    shutil.copytree(market, tmp_path / "market")
    for name in ("rollwright.json", "rollwright.files"):
        (tmp_path / "market" / name).unlink()
    provider = QlibProvider(tmp_path / "market")
    right = read(provider)
    for ending in (".data", ".index"):
        path = tmp_path / "market" / "financial" / "aaa" / f"x_q{ending}"
        whole = path.read_bytes()
        for damaged, place in damages(whole, 2):
            path.write_bytes(damaged)
            try:
                found = read(provider)
            except CorruptFileError as error:
                assert error.path.stem == "x_q"  # noqa: PT017 - as above
            else:
                unprotected = ending == ".data" and (place % 20 < 4 or 8 <= place % 20 < 16)
                assert found == right or unprotected
        path.write_bytes(whole)


def test_readers_never_see_a_mixture_of_two_versions(tmp_path):
    target, times = make_market(tmp_path / "market"), 12
    period_replacing.write(str(target), 1)
    with ThreadPoolExecutor(2) as readers:
        read_by = [readers.submit(period_replacing.read, str(target), times) for _ in range(2)]
        period_replacing.write(str(target), times)
        assert all(done.result(timeout=60) > 0 for done in read_by)


@pytest.mark.slow
@pytest.mark.crash
def test_eight_readers_of_a_folder_that_is_replaced_a_thousand_times_see_no_mixture(tmp_path):
    target, times = make_market(tmp_path / "market"), sized(1000, 100)
    period_replacing.write(str(target), 1)
    run = [sys.executable, period_replacing.__file__]
    readers = [subprocess.Popen([*run, "read", str(target), str(times)]) for _ in range(8)]
    subprocess.run([*run, "write", str(target), str(times)], check=True, timeout=900)
    assert [reader.wait(timeout=60) for reader in readers] == [0] * 8


@pytest.mark.crash
def test_an_import_that_is_killed_leaves_the_old_state_or_the_new_one(tmp_path):
    target = make_market(tmp_path / "market")
    fields = [f"f{number}_q" for number in range(60)]
    rows = pd.DataFrame(
        [("2008-04-20", 200801, 1.0, field, code) for field in fields for code in CODES],
        columns=["date", "period", "value", "field", "instrument"],
    )
    import_periods(rows, target)
    killed = 0
    for number in range(2, sized(10, 6)):
        before = QlibProvider(target)
        old = before.vintage_generation(fields)
        rows.assign(value=float(number)).to_csv(tmp_path / "rows.csv", index=False)
        command = [
            sys.executable,
            "-m",
            "rollwright",
            "pit",
            "import",
            str(tmp_path / "rows.csv"),
            "--out",
            str(target),
        ]
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for_staging(tmp_path, started)
        time.sleep(number % 5 * 0.004)
        os.kill(started.pid, signal.SIGKILL)
        started.wait(timeout=60)
        killed += started.returncode == -signal.SIGKILL
        assert check_fields(target).ok
        provider = QlibProvider(target)
        values = {one for field in fields for one in provider.vintages(field, CODES).value.tolist()}
        assert len(values) == 1
        assert (values == {float(number)}) == (provider.vintage_generation(fields) != old)
        import_periods(rows.assign(value=float(number)), target)  # the same again goes on
        assert QlibProvider(target).vintages(fields[0], CODES).value.tolist() == [float(number)] * 2
    assert killed > 0
    assert not [path for path in tmp_path.iterdir() if "staging" in path.name]


def _wait_for_staging(folder: Path, started: subprocess.Popen[bytes]) -> None:
    while started.poll() is None and not any("staging" in path.name for path in folder.iterdir()):
        time.sleep(0.001)
