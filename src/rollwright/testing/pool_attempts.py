"""How attempts end: settling, retrying, leases, stages."""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import threading

import pytest

from rollwright.errors import (
    LeaseLostError,
)
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, Outcome
from rollwright.testing.pool_base import LEASE, POOL, StoreUnderTest, names_of, outcome_of

__all__ = ["AttemptsConformance"]


class AttemptsConformance:
    """The promises about attempts, one test each."""

    # -- settling ----------------------------------------------------------------------------------------------

    def test_done_keeps_result_and_validity(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        pool.store.settle([Outcome.done(pool.take(), result='{"x":1}', validity='{"data":"7"}')]).check()
        record = pool.store.get(POOL, [task_id])[0]
        assert (record.status, record.result, record.validity) == (Status.DONE, '{"x":1}', '{"data":"7"}')
        assert record.error is None
        assert record.ended is not None

    def test_a_second_commit_is_refused(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        lease = pool.take()
        pool.store.settle([Outcome.done(lease, result="1")]).check()
        with pytest.raises(LeaseLostError):
            pool.store.settle([Outcome.done(lease, result="2")]).check()
        assert pool.store.get(POOL, [task_id])[0].result == "1"

    @pytest.mark.parametrize("kind", ["done", "part_done", "failed", "released", "cancelled"])
    def test_a_stale_outcome_is_refused_while_another_runs_the_task(self, pool: StoreUnderTest, kind: str) -> None:
        """W1 stalls, its lease ends, W2 runs the task, W1 wakes: the one schedule that finds a status-only check."""
        (task_id,) = pool.put("a", max_attempts=5)
        stale = pool.take(owner="w1")
        pool.advance(LEASE + 1)
        good = pool.take(owner="w2")
        assert good.task_id == stale.task_id
        before = pool.store.get(POOL, [task_id])[0]
        settlement = pool.store.settle([outcome_of(kind, stale)])
        assert [refusal.task_id for refusal in settlement.refused] == [task_id]
        assert settlement.refused[0].current == good.token
        assert settlement.statuses == {}
        assert pool.store.get(POOL, [task_id])[0] == before
        pool.store.settle([Outcome.done(good, result="2")]).check()
        assert pool.store.get(POOL, [task_id])[0].result == "2"

    @pytest.mark.parametrize("kind", ["done", "part_done", "failed", "released", "cancelled"])
    def test_a_stale_outcome_is_refused_after_a_reap(self, pool: StoreUnderTest, kind: str) -> None:
        (task_id,) = pool.put("a", max_attempts=5)
        stale = pool.take()
        pool.advance(LEASE + 1)
        assert pool.store.reap(POOL) == [task_id]
        assert len(pool.store.settle([outcome_of(kind, stale)]).refused) == 1
        assert pool.status(task_id) is Status.WAITING

    def test_of_several_outcomes_the_good_ones_count(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b")
        first, second = pool.claim(limit=2)
        pool.store.settle([Outcome.done(first)])
        settlement = pool.store.settle([Outcome.done(first, result="9"), Outcome.done(second, result="2")])
        assert [refusal.task_id for refusal in settlement.refused] == [first.task_id]
        assert settlement.statuses == {second.task_id: Status.DONE}

    def test_an_outcome_of_a_removed_task_is_refused(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        lease = pool.take()
        assert pool.store.delete(POOL, None) == 0
        assert pool.store.delete(POOL, None, running=True) == 1
        (refusal,) = pool.store.settle([Outcome.done(lease)]).refused
        assert refusal.current is None

    def test_settling_takes_the_next(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b")
        first = pool.take()
        request = ClaimRequest(pool=POOL, owner="w1", lease=LEASE, limit=5)
        settlement = pool.store.settle([Outcome.done(first)], claim=request)
        assert names_of([*settlement.leases]) == ["b"]
        assert pool.store.settle([], claim=request).leases == ()

    def test_a_lease_that_ended_still_commits_when_nobody_took_the_task(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        lease = pool.take()
        pool.advance(LEASE + 1)
        pool.store.settle([Outcome.done(lease)]).check()
        assert pool.status(task_id) is Status.DONE

    def test_nobody_sees_a_task_done_without_its_result(self, pool: StoreUnderTest) -> None:
        ids = pool.put(*[f"n{i}" for i in range(30)])
        half_seen: list[str] = []
        over = threading.Event()

        def look() -> None:
            while not over.is_set():
                records = pool.store.get(POOL, ids)
                half_seen.extend(
                    record.task_id for record in records if record.status is Status.DONE and record.result is None
                )

        reader = threading.Thread(target=look)
        reader.start()
        for _ in ids:
            pool.store.settle([Outcome.done(pool.take(), result="1")]).check()
        over.set()
        reader.join()
        assert half_seen == []

    # -- attempts ----------------------------------------------------------------------------------------------

    def test_a_failure_is_tried_again_until_attempts_are_spent(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", max_attempts=2)
        settled = pool.store.settle([Outcome.failed(pool.take(), error="first")])
        assert settled.statuses == {task_id: Status.WAITING}
        assert pool.store.get(POOL, [task_id])[0].error == "first"
        second = pool.take()
        assert second.attempt == 2
        assert pool.store.settle([Outcome.failed(second, error="second")]).statuses == {task_id: Status.FAILED}
        assert pool.claim() == []
        record = pool.store.get(POOL, [task_id])[0]
        assert (record.attempts, record.error) == (2, "second")

    def test_a_task_that_succeeds_in_the_end_shows_no_error(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        pool.store.settle([Outcome.failed(pool.take(), error="no luck", retry=True)]).check()
        assert pool.store.get(POOL, [task_id])[0].error == "no luck"
        pool.store.settle([Outcome.done(pool.take())]).check()
        assert pool.store.get(POOL, [task_id])[0].error is None

    def test_a_task_ended_at_the_moment_of_its_last_change(self, pool: StoreUnderTest) -> None:
        ids = pool.put("a", "b", "c", "d", max_attempts=1)
        pool.advance(10.0)
        leases = pool.claim(limit=4)
        outcomes = [Outcome.done(leases[0]), Outcome.failed(leases[1], error="no"), Outcome.cancelled(leases[2])]
        pool.store.settle(outcomes).check()
        pool.advance(LEASE + 1)
        assert pool.store.reap() == [leases[3].task_id]
        for record in pool.store.get(POOL, ids):
            assert record.ended == pool.history(record.task_id)[-1].at

    def test_an_error_text_is_kept_whatever_it_holds_and_reads_the_same_from_every_store(
        self, pool: StoreUnderTest
    ) -> None:
        (task_id,) = pool.put("a")
        text = "cannot read caf\udce9.csv\n\tat \x1b[31mline\x00 3\r\n研究 \U0001f40d"
        pool.store.settle([Outcome.failed(pool.take(), error=text, retry=False)]).check()
        kept = "cannot read caf\\udce9.csv\n\tat \\x1b[31mline\\x00 3\n研究 \U0001f40d"
        assert pool.store.get(POOL, [task_id])[0].error == kept
        assert pool.history(task_id)[-1].detail == kept

    def test_an_error_text_of_megabytes_keeps_its_beginning_and_its_end(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        text = "Traceback\n" + "x" * 5_000_000 + "\nValueError: the cause"
        pool.store.settle([Outcome.failed(pool.take(), error=text, retry=False)]).check()
        error = pool.store.get(POOL, [task_id])[0].error or ""
        assert len(error) < 40_000
        assert error.startswith("Traceback\n")
        assert error.endswith("\nValueError: the cause")
        assert "characters left out" in error

    def test_a_reason_given_by_hand_is_kept_whatever_it_holds(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        pool.store.amend(POOL, None, Amendment(status=Status.FAILED, error="\udce9\x00"))
        assert pool.store.get(POOL, [task_id])[0].error == "\\udce9\\x00"
        pool.store.pause(POOL, reason="caf\udce9")
        assert pool.store.stat(POOL).reason == "caf\\udce9"

    def test_a_failure_without_retry_is_final(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        pool.store.settle([Outcome.failed(pool.take(), error="bad input", retry=False)])
        assert pool.status(task_id) is Status.FAILED

    def test_a_retry_waits(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        pool.store.settle([Outcome.failed(pool.take(), error="x", delay=10.0)])
        pool.advance(9.0)
        assert pool.claim() == []
        pool.advance(2.0)
        assert pool.take().attempt == 2

    def test_a_release_uses_no_attempt(self, pool: StoreUnderTest) -> None:
        pool.put("a", max_attempts=1)
        for _ in range(3):
            lease = pool.take()
            assert lease.attempt == 1
            pool.store.settle([Outcome.released(lease)]).check()

    def test_dying_uses_attempts_too(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", max_attempts=2)
        for _ in range(2):
            pool.take()
            pool.advance(LEASE + 1)
        assert pool.claim() == []
        record = pool.store.get(POOL, [task_id])[0]
        assert record.status is Status.FAILED
        assert "did not renew" in (record.error or "")

    def test_tokens_only_rise(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", max_attempts=10)
        tokens = []
        for _ in range(3):
            tokens.append(pool.take().token)
            pool.advance(LEASE + 1)
            pool.store.reap(POOL)
            tokens.append(pool.store.get(POOL, [task_id])[0].token)
        assert tokens == sorted(set(tokens))

    # -- leases ------------------------------------------------------------------------------------------------

    def test_a_live_lease_is_never_taken(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        lease = pool.take()
        for _ in range(5):
            pool.advance(LEASE * 0.6)
            assert pool.store.renew("w1", lease=LEASE) == {task_id: lease.token}
            assert pool.claim(owner="w2") == []
            assert pool.store.reap(POOL) == []

    def test_an_ended_lease_is_claimable_at_once(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        pool.take()
        pool.advance(LEASE - 1)
        assert pool.claim(owner="w2") == []
        pool.advance(2)
        assert pool.take(owner="w2").attempt == 2

    def test_a_claim_frees_no_task_of_another_pool(self, pool: StoreUnderTest) -> None:
        (theirs,) = pool.put("a", pool="other")
        pool.put("mine")
        held = pool.take(pool="other")
        pool.take()
        pool.advance(LEASE + 1)
        assert names_of(pool.claim()) == ["mine"]
        record = pool.store.get("other", [theirs])[0]
        assert (record.status, record.token) == (Status.RUNNING, held.token)

    def test_a_lost_task_is_missing_from_the_renewal(self, pool: StoreUnderTest) -> None:
        lost, kept = pool.put("a", "b")
        pool.claim(limit=2)
        pool.store.amend(POOL, parse({"_id": lost}), Amendment(status=Status.WAITING))
        assert list(pool.store.renew("w1", lease=LEASE)) == [kept]

    def test_one_owner_does_not_renew_for_another(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        pool.take(owner="w1")
        assert pool.store.renew("w2", lease=LEASE) == {}

    def test_reaping_is_limited_to_what_matches(self, pool: StoreUnderTest) -> None:
        a, _ = pool.put("a", "b")
        pool.put("a", pool="other")
        pool.claim(limit=2)
        pool.claim(pool="other")
        pool.advance(LEASE + 1)
        assert pool.store.reap(POOL, query=parse({"def.name": "a"})) == [a]
        assert len(pool.store.reap()) == 2

    # -- stages ------------------------------------------------------------------------------------------------

    def test_a_stage_goes_on_from_the_result_of_the_one_before(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", max_attempts=1)
        pool.store.settle([Outcome.part_done(pool.take(), result="1")]).check()
        assert pool.claim() == []
        second = pool.take(status=Status.PART_DONE)
        assert (second.result, second.origin, second.attempt) == ("1", Status.PART_DONE, 1)
        pool.store.settle([Outcome.part_done(second, result="2")]).check()
        pool.store.settle([Outcome.done(pool.take(status=Status.PART_DONE), result="3")]).check()
        assert pool.store.get(POOL, [task_id])[0].result == "3"

    @pytest.mark.parametrize("how", ["released", "failed", "reaped"])
    def test_a_stage_that_does_not_end_well_keeps_the_result_before(self, pool: StoreUnderTest, how: str) -> None:
        (task_id,) = pool.put("a")
        pool.store.settle([Outcome.part_done(pool.take(), result="1")]).check()
        lease = pool.take(status=Status.PART_DONE)
        if how == "reaped":
            pool.advance(LEASE + 1)
            pool.store.reap(POOL)
        else:
            pool.store.settle([outcome_of(how, lease)]).check()
        record = pool.store.get(POOL, [task_id])[0]
        assert (record.status, record.result) == (Status.PART_DONE, "1")
