"""The registry: what is written, what is read, and that nothing is taken out of it in silence."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made_trials import SteppingClock, make_trial
from rollwright.core.canonical import sha256_hex
from rollwright.trials.chain_owner import ChainOwner
from rollwright.trials.registry import TrialRegistry


def chains_of(registry):
    return sorted(registry.folder.glob("*.chain"))


def names(state):
    return sorted(one.name for one in state.distinct("market"))


def work_as(monkeypatch, user, machine="f" * 16):
    """Let this process be another user's, or on another machine."""
    owner = ChainOwner(machine=machine, user=user, host="other")
    monkeypatch.setattr(ChainOwner, "find", classmethod(lambda _cls: owner))


@pytest.fixture
def two_writers(registry, monkeypatch):
    """A registry with three trials of one user and two of another, who has seen the former's."""
    registry.register([make_trial(1), make_trial(2)])
    registry.register([make_trial(3)])
    with monkeypatch.context() as patch:
        work_as(patch, "second")
        registry.register([make_trial(4), make_trial(5)])
    return registry


def test_a_project_without_a_registry_has_no_trials_and_no_damage(registry):
    state = registry.read()
    assert (state.trials, state.damage, state.lost) == ((), (), 0)
    assert not registry.folder.exists()


def test_what_is_registered_is_read_again_with_its_returns(registry):
    state = registry.register([make_trial(1), make_trial(2)])
    assert registry.read().trials[1].series.digest == make_trial(2).series.digest
    assert names(state) == ["trial 1", "trial 2"]
    assert [record.kind for record in state.records] == ["begin", "trial", "trial"]
    assert state.damage == ()


def test_a_second_look_writes_nothing(registry):
    registry.register([make_trial(1, count=60)])
    before = chains_of(registry)[0].read_bytes()
    registry.register([make_trial(1, count=60, name="again"), make_trial(1, count=50)])
    assert chains_of(registry)[0].read_bytes() == before


def test_a_further_day_is_written_and_counts_once(registry):
    registry.register([make_trial(1, count=60)])
    state = registry.register([make_trial(1, count=61)])
    assert len(state.trials) == 2
    assert [len(one.series.units) for one in state.distinct("market")] == [61]


def test_data_sets_and_made_up_data_are_counted_apart(registry):
    state = registry.register([make_trial(1), make_trial(2, data="other"), make_trial(3, synthetic=True)])
    assert names(state) == ["trial 1"]
    assert [one.name for one in state.distinct("market", synthetic=True)] == ["trial 3"]
    assert len(state.distinct()) == 3


def test_each_record_holds_the_digest_of_the_one_before_and_the_heads_of_other_chains(two_writers):
    first, second = two_writers.read().chains
    if first.records[0].body["user"] == "second":
        first, second = second, first
    assert [one.before for one in first.records[1:]] == list(first.digests[:-1])
    assert second.records[-1].heads == {first.writer: first.head}
    for line in chains_of(two_writers)[0].read_bytes().splitlines():
        digest, _, text = line.partition(b" ")
        assert sha256_hex(text).encode() == digest
        assert json.loads(text)["format"] == 1


def test_machines_and_users_have_files_of_their_own_and_find_them_again(registry, monkeypatch):
    registry.register([make_trial(1)])
    with monkeypatch.context() as patch:
        work_as(patch, "second")
        registry.register([make_trial(2)])
        registry.register([make_trial(3)])
        work_as(patch, "second", machine="0" * 16)
        registry.register([make_trial(4)])
    registry.register([make_trial(5)])
    assert len(chains_of(registry)) == 3
    assert [len(chain.records) for chain in registry.read().chains if chain.records[0].body["host"] != "other"] == [3]


def test_the_same_trial_of_two_writers_counts_once(two_writers, monkeypatch):
    work_as(monkeypatch, "third")
    copy = TrialRegistry(two_writers.folder.parent, clock=SteppingClock())
    copy.append([("trial", make_trial(1).to_json())])
    state = two_writers.read()
    assert len(state.trials) == 6
    assert len(state.distinct("market")) == 5


def test_a_changed_record_is_found(two_writers):
    for path in chains_of(two_writers):
        kept = path.read_bytes()
        path.write_bytes(kept.replace(b'"topk":5', b'"topk":6', 1))
        state = two_writers.read()
        assert [one.reason[:23] for one in state.damage][:1] == ["the record was changed:"]
        assert state.lost == 1
        path.write_bytes(kept)
    assert two_writers.read().damage == ()


def rehash(line):
    text = line.partition(b" ")[2]
    return sha256_hex(text).encode() + b" " + text


def test_a_changed_record_with_a_new_digest_does_not_fit_the_next_one(two_writers):
    for path in chains_of(two_writers):
        kept = path.read_bytes()
        lines = kept.splitlines()
        lines[1] = rehash(lines[1].replace(b'"topk":5', b'"topk":6'))
        path.write_bytes(b"\n".join(lines) + b"\n")
        assert any("not the one that record 3 was written behind" in one.reason for one in two_writers.read().damage)
        path.write_bytes(kept)


def test_a_last_record_that_was_replaced_is_known_by_what_others_have_seen(two_writers):
    (two_writers.folder.parent / "trial-heads.json").unlink()
    first = next(path for path in chains_of(two_writers) if "second" not in path.name)
    lines = first.read_bytes().splitlines()
    lines[-1] = rehash(lines[-1].replace(b'"topk":5', b'"topk":6'))
    first.write_bytes(b"\n".join(lines) + b"\n")
    assert [str(one) for one in two_writers.read().damage] == [
        f"{first.name}, line 4: others have seen another record here"
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(data=st.data())
def test_no_record_is_taken_out_in_silence_nor_lowers_the_count(two_writers, data):
    kept = {path: path.read_bytes() for path in chains_of(two_writers)}
    heads = two_writers.folder.parent / "trial-heads.json"
    noted = heads.read_bytes()
    sound = two_writers.read()
    before = len(sound.distinct("market")) + sound.lost
    path = data.draw(st.sampled_from(sorted(kept)))
    lines = kept[path].splitlines(keepends=True)
    # With what is noted beside the chains gone, the last records of the one written last are seen by nobody.
    if "second" not in path.name and data.draw(st.booleans()):
        heads.unlink()
    out = data.draw(st.sets(st.integers(0, len(lines) - 1), min_size=1))
    path.write_bytes(b"".join(line for place, line in enumerate(lines) if place not in out))
    state = two_writers.read()
    assert state.damage
    assert len(state.distinct("market")) + state.lost >= before
    for each, content in kept.items():
        each.write_bytes(content)
    heads.write_bytes(noted)
    assert two_writers.read().damage == ()


def test_a_file_that_is_gone_is_missed_by_the_others_and_by_the_note(two_writers):
    for path in chains_of(two_writers):
        kept = path.read_bytes()
        path.unlink()
        state = two_writers.read()
        assert [str(one) for one in state.damage] == [f"{path.name}: the file is gone: others have seen it"]
        assert len(state.distinct("market")) + state.lost >= 5
        path.write_bytes(kept)


def test_a_folder_that_is_gone_is_missed_by_the_note(two_writers):
    shutil.rmtree(two_writers.folder)
    state = two_writers.read()
    assert [one.reason for one in state.damage] == ["the file is gone: others have seen it"] * 2
    assert state.lost == 7


def test_a_note_that_is_gone_or_hostile_does_not_hide_anything(two_writers):
    note = two_writers.folder.parent / "trial-heads.json"
    for text in ("", "[]", '{"x": 1}', "[" * 100_000, '{"a-b-0123456789ab": [1, "00"]}', '{"x": NaN}'):
        note.write_text(text)
        state = two_writers.read()
        assert [one.file for one in state.damage] == ["trial-heads.json"]
        assert len(state.distinct("market")) == 5
    note.unlink()
    assert two_writers.read().damage == ()
    two_writers.register([make_trial(9)])
    assert note.is_file()


def test_a_damaged_chain_is_left_as_it_is_and_another_one_begun(registry):
    registry.register([make_trial(1), make_trial(2)])
    first = chains_of(registry)[0]
    damaged = first.read_bytes().replace(b'"topk":5', b'"topk":6', 1)
    first.write_bytes(damaged)
    state = registry.register([make_trial(3)])
    assert first.read_bytes() == damaged
    assert len(chains_of(registry)) == 2
    assert names(state) == ["trial 2", "trial 3"]
    assert state.lost == 1


@pytest.mark.parametrize("cut", [1, 40, 300])
def test_a_torn_last_record_is_cut_off_by_the_next_one_which_says_so(registry, cut, caplog):
    registry.register([make_trial(1), make_trial(2)])
    path = chains_of(registry)[0]
    (registry.folder.parent / "trial-heads.json").unlink()  # a writer that died there noted nothing
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    state = registry.read()
    assert state.damage == ()
    assert state.torn > 0
    assert names(state) == ["trial 1"]
    state = registry.register([make_trial(2)])
    assert [record.kind for record in state.records] == ["begin", "trial", "recovered", "trial"]
    assert state.records[2].body == {"bytes": len(whole.splitlines()[2]) + 1 - cut}
    assert (state.torn, state.damage) == (0, ())
    assert "trials.recovered" in caplog.text


def test_zeros_behind_the_last_record_after_a_power_failure_are_torn_too(registry):
    registry.register([make_trial(1)])
    path = chains_of(registry)[0]
    with path.open("ab") as file:
        file.write(bytes(4096))
    assert (registry.read().torn, registry.read().damage) == (4096, ())
    assert registry.register([make_trial(2)]).damage == ()


def test_records_of_other_kinds_are_kept_in_the_same_chain(registry):
    registry.register([make_trial(1)])
    (made,) = registry.append([("opening", {"reason": "the final test", "range": ["2020-01-01", None]})])
    state = registry.read()
    assert (made.number, made.kind) == (3, "opening")
    assert state.records[-1] == made
    assert len(state.trials) == 1


def test_a_disk_that_is_full_leaves_the_chain_as_it_was(registry, monkeypatch):
    registry.register([make_trial(1)])
    path = chains_of(registry)[0]
    before = path.read_bytes()

    write = os.write

    def take_some(handle, data):
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return write(handle, bytes(data[: len(data) // 2]))

    with monkeypatch.context() as patch:
        patch.setattr("rollwright.trials.chain_file.os.write", take_some)
        with pytest.raises(OSError, match="No space left") as caught:
            registry.register([make_trial(2)])
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert registry.register([make_trial(2)]).damage == ()


@pytest.mark.usefixtures("unprivileged")
def test_a_folder_that_may_not_be_written_is_an_error_that_names_it(registry):
    registry.register([make_trial(1)])
    registry.folder.chmod(0o500)
    path = chains_of(registry)[0]
    path.chmod(0o400)
    with pytest.raises(PermissionError) as caught:
        registry.register([make_trial(2)])
    assert str(registry.folder) in str(caught.value)
    registry.folder.chmod(0o700)
