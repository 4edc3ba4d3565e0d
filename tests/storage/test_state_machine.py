"""Any sequence of verbs, by several workers, against a dict that says what must come of it: on every database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Set

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from sqlite_job.core.clock import to_microseconds
from sqlite_job.core.errors import JobNotFoundError, JobStateError
from sqlite_job.core.jobs import ClaimedJob, RescuedJob
from sqlite_job.core.outcomes import Cancelled, Completed, Died, Failed, FailureReport, Retried, Returned, Snoozed
from sqlite_job.core.retention import START, Old
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.interface import CancelRequest, JobFilter
from tests.storage.making import LEASE, NOW, new_job, wanted

MAX_DEATHS = 2
WORKERS = (0, 1, 2)
QUEUES = ("high", "low")

JOB_IDS = st.sampled_from([f"own-{number}" for number in range(3)])
HOWS = st.sampled_from(["complete", "fail", "retry", "snooze", "cancel", "return", "die"])
DELAYS = st.sampled_from([-5, 0, 5, 50])

_S = JobStatus
_FINAL = {_S.COMPLETED, _S.FAILED, _S.CANCELLED}


@dataclass
class Model:
    """What is known of a job."""

    seq: int
    queue: str
    priority: int
    status: JobStatus
    run_at: Optional[int] = None
    tries: int = 0
    deaths: int = 0
    claim: int = 0
    holder: Optional[int] = None
    is_unwanted: bool = False
    is_suspect: bool = False
    result: Optional[bytes] = None
    failures: int = 0

    def wait(self, run_at: Optional[int] = None) -> None:
        """Wait again: for a time or, at once, for a worker; or be cancelled, if somebody asked for it meanwhile."""
        self.holder = None
        if self.is_unwanted:
            self.end(_S.CANCELLED)
        elif run_at is None:
            self.status = _S.PENDING
        else:
            self.status, self.run_at = _S.SCHEDULED, run_at

    def end(self, status: JobStatus) -> None:
        self.status, self.holder, self.is_suspect = status, None, False


class Queue(RuleBasedStateMachine):
    """The storage beside its model; workers are known by their place in `self.worker_ids`."""

    claims = Bundle("claims")

    def __init__(self, storage) -> None:
        super().__init__()
        self.storage = storage
        self.time = NOW
        self.jobs: Dict[str, Model] = {}
        self.seqs: Set[int] = set()
        self.worker_ids: List[int] = []
        self.leases: Dict[int, int] = {}
        self.paused: Dict[str, int] = {}

    @initialize()
    def start(self) -> None:
        self.worker_ids = [self._register() for _ in WORKERS]
        self.enqueue(["own-0", "own-1"], "high", 0, None)
        self.enqueue(["own-2"], "low", 1, None)

    # ---- producers

    @rule(
        job_ids=st.lists(JOB_IDS, min_size=1, max_size=4),
        queue=st.sampled_from(QUEUES),
        priority=st.integers(-1, 1),
        delay=st.none() | DELAYS,
    )
    def enqueue(self, job_ids, queue, priority, delay) -> None:
        run_at = None if delay is None else self.time + delay
        options = {"queue": queue, "priority": priority, "run_at": run_at}
        self.storage.enqueue([new_job(job_id, **options) for job_id in job_ids])
        for job_id in job_ids:
            if job_id not in self.jobs:
                seq = self.storage.get(job_id).cursor
                assert seq not in self.seqs
                self.seqs.add(seq)
                status = _S.PENDING if run_at is None else _S.SCHEDULED
                self.jobs[job_id] = Model(seq, queue, priority, status, run_at)

    # ---- workers

    @rule(
        target=claims,
        place=st.sampled_from(WORKERS),
        room=st.integers(1, 3),
        queues=st.permutations(QUEUES),
        weights=st.none() | st.fixed_dictionaries({queue: st.integers(1, 3) for queue in QUEUES}),
    )
    def claim(self, place, room, queues, weights):
        worker = self.worker_ids[place]
        exchange = self.storage.exchange(worker, [], wanted(room, queues=queues)._replace(weights=weights), self.time)
        self._promote()
        assert exchange.is_expelled == (worker not in self.leases)
        assert exchange.paused == tuple(queue for queue in queues if queue in self.paused and not exchange.is_expelled)
        expected = [] if exchange.is_expelled else self._claimable(queues)
        suspects = [] if exchange.is_expelled else self._claimable(queues, suspects=True)[:1]
        if weights is None:
            assert [job.id for job in exchange.claimed] == expected[:room]
        else:
            assert len(exchange.claimed) == min(room, len(expected))
            for queue in queues:
                found = [job.id for job in exchange.claimed if job.queue == queue]
                assert found == [job_id for job_id in expected if self.jobs[job_id].queue == queue][: len(found)]
        alone = [exchange.suspect] if exchange.suspect else []
        assert [job.id for job in alone] == suspects
        claimed = exchange.claimed + alone
        for job in claimed:
            model = self.jobs[job.id]
            model.status, model.holder, model.is_suspect = _S.RUNNING, worker, False
            model.tries += 1
            model.claim += 1
            assert (job.claim_number, job.tries, job.deaths) == (model.claim, model.tries, model.deaths)
            assert job.seq == model.seq
        return (worker, claimed) if claimed else multiple()

    @rule(
        claim=claims,
        hows=st.lists(HOWS, min_size=4, max_size=4),
        delay=DELAYS,
    )
    def settle(self, claim, hows, delay) -> None:
        """Hand in outcomes of one claim, as often as it comes: all but the first are too late."""
        worker, claimed = claim
        outcomes = [self._outcome(job, how, delay) for job, how in zip(claimed, hows)]
        stale = self.storage.exchange(worker, outcomes, None, self.time).stale
        expected = [outcome for job, outcome in zip(claimed, outcomes) if not self._holds(job)]
        assert sorted(stale, key=lambda outcome: outcome.seq) == sorted(expected, key=lambda outcome: outcome.seq)
        for job, how in zip(claimed, hows):
            if self._holds(job):
                self._apply(self.jobs[job.id], how, delay)
        self._promote()

    @rule(target=claims, place=st.sampled_from(WORKERS), how=HOWS, delay=DELAYS)
    def claim_and_settle(self, place, how, delay):
        """Do what happens most; its outcome may come a second time."""
        claim = self.claim(place, 1, QUEUES, None)
        if isinstance(claim, tuple):
            self.settle(claim, [how] * len(claim[1]), delay)
        return claim

    @rule(place=st.sampled_from(WORKERS))
    def heartbeat(self, place) -> None:
        worker = self.worker_ids[place]
        assert self.storage.heartbeat(worker, self.time, LEASE) is (worker in self.leases)
        if worker in self.leases:
            self.leases[worker] = self.time + LEASE
        else:
            self.worker_ids[place] = self._register()

    @rule(place=st.sampled_from(WORKERS))
    def end_a_worker(self, place) -> None:
        """As a process that dies: the lock it lived by is free, and its row is left."""
        worker = self.worker_ids[place]
        self.storage.abandon_worker(worker)
        if worker in self.leases:
            self.leases[worker] = -1
        self.worker_ids[place] = self._register()

    @rule(by_lease=st.booleans())
    def rescue(self, by_lease) -> None:
        dead = {worker for worker, lease in self.leases.items() if lease < (self.time if by_lease else 0)}
        held = [(job_id, job) for job_id, job in self.jobs.items() if job.status is _S.RUNNING]
        lost = [(job_id, job) for job_id, job in held if job.holder in dead or job.holder not in self.leases]
        rescued = self.storage.rescue(self.time, MAX_DEATHS, by_lease=by_lease)
        expected = [
            RescuedJob(job_id, "add", job.deaths + 1, job.holder, job.deaths + 1 >= MAX_DEATHS) for job_id, job in lost
        ]
        assert sorted(rescued) == sorted(expected)
        for _, job in lost:
            self._apply(job, "die", 0)
        for worker in dead:
            del self.leases[worker]

    # ---- operators and time

    @rule(job_id=JOB_IDS)
    def cancel(self, job_id) -> None:
        model = self.jobs.get(job_id)
        if model is None:
            with pytest.raises(JobNotFoundError):
                self.storage.cancel(job_id, "why", self.time)
            return
        assert self.storage.cancel(job_id, "why", self.time) is model.status
        if model.status is _S.RUNNING:
            model.is_unwanted = True
        elif model.status not in _FINAL:
            model.end(_S.CANCELLED)

    @rule(job_id=JOB_IDS)
    def requeue(self, job_id) -> None:
        model = self.jobs.get(job_id)
        if model is None or model.status not in _FINAL:
            with pytest.raises(JobNotFoundError if model is None else JobStateError):
                self.storage.requeue(job_id, self.time)
            return
        assert self.storage.requeue(job_id, self.time) is model.status
        model.status, model.run_at, model.result, model.is_unwanted = _S.PENDING, None, None, False
        model.tries = model.deaths = 0
        model.is_suspect = False

    @rule(job_id=JOB_IDS)
    def delete(self, job_id) -> None:
        model = self.jobs.get(job_id)
        if model is None or model.status is _S.RUNNING:
            with pytest.raises(JobNotFoundError if model is None else JobStateError):
                self.storage.delete(job_id)
            return
        assert self.storage.delete(job_id) is model.status
        del self.jobs[job_id]

    @rule(queue=st.sampled_from(QUEUES))
    def pause(self, queue) -> None:
        assert self.storage.pause(queue, self.time) is (queue not in self.paused)
        self.paused.setdefault(queue, self.time)

    @rule(queue=st.sampled_from(QUEUES))
    def resume(self, queue) -> None:
        assert self.storage.resume(queue) is (self.paused.pop(queue, None) is not None)

    @rule(statuses=st.sets(st.sampled_from(sorted(_FINAL)), min_size=1), queue=st.sampled_from(QUEUES), age=DELAYS)
    def prune(self, statuses, queue, age) -> None:
        until = self.time - age
        expected = {
            job_id
            for job_id, job in self.jobs.items()
            if job.status in statuses
            and job.queue == queue
            and to_microseconds(self.storage.get(job_id).finished_at) <= until
        }
        old = Old(until, lambda of_queue, _function, status: of_queue == queue and status in statuses)
        assert self.storage.find_old(old, START).jobs == len(expected)
        assert self.storage.prune(old, START, self.time).jobs == len(expected)
        self.jobs = {job_id: job for job_id, job in self.jobs.items() if job_id not in expected}

    @rule(microseconds=st.sampled_from([1, 10, LEASE // 2, LEASE + 1]))
    def pass_time(self, microseconds) -> None:
        self.time += microseconds

    # ---- what must hold after each step

    @invariant()
    def every_job_is_as_the_model_says(self) -> None:
        infos = {info.id: info for info in self.storage.find(JobFilter())}
        assert infos.keys() == self.jobs.keys()
        for job_id, model in self.jobs.items():
            info = infos[job_id]
            found = (info.status, info.tries, info.deaths, info.worker_id, info.cursor)
            assert found == (model.status, model.tries, model.deaths, model.holder, model.seq)
            assert (info.finished_at is not None) == (model.status in _FINAL)
            assert self.storage.result(job_id).value == model.result
            assert len(self.storage.failures(job_id)) == model.failures

    @invariant()
    def counts_and_wishes_agree(self) -> None:
        counted = {(count.queue, count.status): count.jobs for count in self.storage.counts()}
        expected: Dict[tuple, int] = {}
        for job in self.jobs.values():
            expected[job.queue, job.status] = expected.get((job.queue, job.status), 0) + 1
        assert counted == expected
        for worker in self.worker_ids:
            unwanted = [job for job in self.jobs.values() if job.is_unwanted and job.holder == worker]
            wishes = [CancelRequest(job.seq, "why") for job in unwanted]
            assert sorted(self.storage.cancel_requests(worker)) == sorted(wishes)

    @invariant()
    def the_paused_queues_are_known(self) -> None:
        assert self.storage.paused_queues() == self.paused

    @invariant()
    def a_look_tells_what_a_claim_would_find(self) -> None:
        peek = self.storage.peek(wanted(queues=QUEUES), self.time)
        times = [job.run_at for job in self.jobs.values() if job.status is _S.SCHEDULED]
        is_due = any(run_at <= self.time for run_at in times)
        assert peek.is_ready == (is_due or bool(self._claimable(QUEUES) or self._claimable(QUEUES, suspects=True)))
        if not peek.is_ready:
            assert peek.next_run_at == min(times, default=None)

    # ---- the model's own verbs

    def _register(self) -> int:
        worker = self.storage.register_worker(("high", "low"), self.time, LEASE)
        assert worker > max([*self.leases, *self.worker_ids], default=0)
        self.leases[worker] = self.time + LEASE
        return worker

    def _promote(self) -> None:
        for job in self.jobs.values():
            if job.status is _S.SCHEDULED and job.run_at <= self.time:
                job.status = _S.PENDING

    def _claimable(self, queues, suspects=False) -> List[str]:
        """Return the ids of pending jobs in the order in which they must be claimed."""
        waiting = [
            (job_id, job)
            for job_id, job in self.jobs.items()
            if job.status is _S.PENDING and job.queue not in self.paused
        ]
        pending = [(job_id, job) for job_id, job in waiting if job.is_suspect is suspects]
        return [
            job_id
            for job_id, _ in sorted(pending, key=lambda one: (queues.index(one[1].queue), -one[1].priority, one[1].seq))
        ]

    def _holds(self, claimed: ClaimedJob) -> bool:
        model = self.jobs.get(claimed.id)
        return model is not None and model.status is _S.RUNNING and (model.seq, model.claim) == claimed[:2]

    def _outcome(self, job: ClaimedJob, how: str, delay: int):
        ended = (self.time, self.time + 1, job.seq, job.claim_number)
        report = FailureReport(job.tries, "ValueError", "no", "")
        if how == "return":
            return Returned(job.seq, job.claim_number)
        return {
            "complete": lambda: Completed(*ended, "pickle", b"value", None),
            "fail": lambda: Failed(*ended, report),
            "retry": lambda: Retried(*ended, report, self.time + delay),
            "snooze": lambda: Snoozed(*ended, self.time + delay),
            "cancel": lambda: Cancelled(*ended, "itself"),
            "die": lambda: Died(*ended, report, job.deaths + 1 >= MAX_DEATHS),
        }[how]()

    def _apply(self, model: Model, how: str, delay: int) -> None:
        model.failures += how in {"fail", "retry", "die"}
        if how == "complete":
            model.result = b"value"
            model.end(_S.COMPLETED)
        elif how == "fail":
            model.end(_S.FAILED)
        elif how == "cancel":
            model.end(_S.CANCELLED)
        elif how == "retry":
            model.wait(self.time + delay)
        elif how == "die" and model.deaths + 1 >= MAX_DEATHS:
            model.deaths += 1
            model.end(_S.FAILED)
        else:
            model.tries -= 1  # given back
            model.deaths += how == "die"
            model.is_suspect = how == "die" or (how == "return" and model.deaths > 0)
            model.wait(self.time + delay if how == "snooze" else None)

    def teardown(self) -> None:
        for worker in {*self.worker_ids, *self.leases}:
            self.storage.unregister_worker(worker)
        self.storage.close()


# A verb takes some ten times as long where there is a server.
EXAMPLES = {"sqlite": 80, "postgres": 25}


def test_any_sequence_of_verbs_does_what_the_model_says(make_storage):
    run_state_machine_as_test(
        lambda: Queue(make_storage()),
        settings=settings(
            max_examples=EXAMPLES[make_storage.kind],
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
