"""Hold a database and the history of its jobs against the invariants: one pure function, `check`.

The numbers are those of docs/explanation/proof.md. Of 6, groups of one are held here; unique keys and rates are not.
"""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from tests.chaos.history import History
from tests.chaos.record import FINAL, STATUSES, Record, Row
from tests.chaos.recovery import late_recoveries, outages

_FINAL_OUTCOMES = {"Completed": "completed", "Failed": "failed", "Cancelled": "cancelled"}
# A second passes from one look for dead workers to the next, and what was not there the second time is taken.
_CUT_FOR = 2_500_000

# What fails for want of a server has looked for one for three seconds.
_AWAY_FOR = 1_000_000

_GIVES_TRY_BACK = {"Returned", "Snoozed", "Limited"}


class Violation(NamedTuple):
    """A broken invariant."""

    invariant: int
    what: str


class Limits(NamedTuple):
    """What the run promised; `expected` says how the jobs of each function end.

    Of the function `lone`, no two jobs of one group run at once; `group_of` tells the group by the key.
    """

    expected: Mapping[str, str]
    max_tries: int
    max_deaths: int
    promise_seconds: float = 2.0
    lease_seconds: float = 0.0
    journal_bytes: int = 160_000_000
    poison: str = "poison"
    lone: str = "lone"
    group_of: Callable[[str], str] = str


def check(database: str, history: History, limits: Limits) -> List[Violation]:
    """Return every violation of an invariant, none if all hold."""
    evidence = Evidence(Record(database), history, limits)
    return [Violation(number, what) for number, rule in RULES for what in rule(evidence)]


class Evidence:
    """Database and history, joined."""

    def __init__(self, record: Record, history: History, limits: Limits) -> None:
        self.record = record
        self.history = history
        self.limits = limits
        self.settled: Dict[Tuple[str, int], List[str]] = defaultdict(list)
        for one in history.settled:
            self.settled[one.id, one.claim].append(one.outcome)
        self.holders: Dict[Tuple[str, int], int] = {(one.id, one.claim): one.worker_id for one in history.claims}
        self.pid_of = history.of_worker()
        self.hurt: Set[int] = {fault.pid for fault in history.faults if fault.kind in {"kill", "freeze"}}
        self.killed: Set[int] = {fault.pid for fault in history.faults if fault.kind == "kill"}

    def was_cut_off(self, job_id: str, claim: int) -> bool:
        """Whether it is known why this claim of a job ended without an outcome in the record."""
        failure = self.record.failure(job_id, claim)
        if failure is not None and failure.is_death:
            return True
        if _GIVES_TRY_BACK.intersection(self.settled.get((job_id, claim), ())):
            return True
        return self.pid_of.get(self.holders.get((job_id, claim), -1)) in self.hurt

    def was_unheard_of(self, pid: Optional[int], at: int) -> bool:
        """Whether a process could not show then that it lived: its listening connection had just been cut.

        Or it had ended while there was no server to be told of it.
        """
        cuts = [fault for fault in self.history.faults if (fault.kind, fault.role) == ("cut", "listener")]
        if any(fault.pid == pid and 0 <= at - fault.at < _CUT_FOR for fault in cuts):
            return True
        return any(one.pid == pid and one.at <= at and self.was_away(one.at) for one in self.history.ended)

    def was_away(self, at: int) -> bool:
        """Whether there was no server then, or just before."""
        return any(start <= at <= end + _AWAY_FOR for start, end in outages(self.history))


Rule = Callable[[Evidence], Iterator[str]]


def acknowledged_jobs_are_there(evidence: Evidence) -> Iterator[str]:
    for one in evidence.history.acknowledged:
        row = evidence.record.by_id.get(one.id)
        if row is None:
            yield f"job {one.id} ({one.key}) was acknowledged and has no row"
        elif row.key != one.key:
            yield f"job {one.id} was enqueued with {one.key!r} and has {row.key!r}"


def batches_are_whole(evidence: Evidence) -> Iterator[str]:
    found = {row.key for row in evidence.record.rows}
    batches: Dict[str, List[bool]] = defaultdict(list)
    for intent in evidence.history.intended:
        batches[intent.batch].append(intent.key in found)
    for batch, there in batches.items():
        if len(set(there)) > 1:
            yield f"of batch {batch} {sum(there)} of {len(there)} jobs are there"


def nobody_enqueued_nothing(evidence: Evidence) -> Iterator[str]:
    intended = {intent.key: intent.function for intent in evidence.history.intended}
    for row in evidence.record.rows:
        if intended.get(row.key or "") != row.function:
            yield f"job {row.id} ({row.function}, {row.key!r}) was enqueued by nobody"
    for key, count in Counter(row.key for row in evidence.record.rows).items():
        if count > 1:
            yield f"{key!r} was enqueued once and is there {count} times"


def completion_is_single_and_final(evidence: Evidence) -> Iterator[str]:
    final_claim: Dict[str, int] = {}
    completions: Counter[str] = Counter()
    for (job_id, claim), outcomes in evidence.settled.items():
        completions[job_id] += outcomes.count("Completed")
        if any(outcome in _FINAL_OUTCOMES for outcome in outcomes):
            final_claim[job_id] = min(claim, final_claim.get(job_id, claim))
    yield from (f"job {job_id} was completed {count} times" for job_id, count in completions.items() if count > 1)
    for one in evidence.history.claims:
        if one.claim > final_claim.get(one.id, one.claim):
            yield f"job {one.id} had ended with claim {final_claim[one.id]} and was claimed again ({one.claim})"
    for seen in evidence.history.observed:
        row = evidence.record.by_id.get(seen.id)
        if row is not None and seen.status in FINAL and (row.status, row.claim) != (seen.status, seen.claim):
            yield f"job {seen.id} was seen as {seen.status} ({seen.claim}) and is {row.status} ({row.claim})"
    for row in evidence.record.rows:
        if (row.status == "completed") != (row.seq in evidence.record.results):
            yield f"job {row.id} is {row.status} and {'has' if row.seq in evidence.record.results else 'has no'} result"


def tries_add_up(evidence: Evidence) -> Iterator[str]:
    for row in evidence.record.rows:
        failures = evidence.record.failures.get(row.seq, {})
        deaths = sum(failure.is_death for failure in failures.values())
        # A death gives the try back, but for the last one, with which the job failed.
        died_of = row.status == "failed" and row.claim in failures and failures[row.claim].is_death
        tries = len(failures) - deaths + (died_of or row.status in {"completed", "running"})
        most = evidence.limits.max_tries if row.max_tries is None else row.max_tries
        if row.tries > most:
            yield f"job {row.id} had {row.tries} tries of {most}"
        if row.deaths != deaths:
            yield f"job {row.id} counts {row.deaths} deaths and its history {deaths}"
        if row.deaths > evidence.limits.max_deaths:
            yield f"job {row.id} died {row.deaths} times of {evidence.limits.max_deaths}"
        if row.status != "cancelled" and row.tries != tries:
            yield f"job {row.id} counts {row.tries} tries and its history {tries}"
        if row.claim < row.tries + row.deaths - died_of:
            yield f"job {row.id} was claimed {row.claim} times for {row.tries} tries and {row.deaths} deaths"
        yield from _claims_without_an_end(evidence, row)


def _claims_without_an_end(evidence: Evidence, row: Row) -> Iterator[str]:
    ended = set(evidence.record.failures.get(row.seq, {}))
    for claim in range(1, row.claim):
        if claim not in ended and (row.id, claim) in evidence.holders and not evidence.was_cut_off(row.id, claim):
            yield f"claim {claim} of job {row.id} ended in nothing, and its worker lived"


def fences_hold(evidence: Evidence) -> Iterator[str]:
    record, history = evidence.record, evidence.history
    for (job_id, claim), count in Counter((one.id, one.claim) for one in history.claims).items():
        if count > 1:
            yield f"claim {claim} of job {job_id} was given out {count} times"
    stale = {(one.seq, one.claim) for one in history.stale}
    for (job_id, claim), outcomes in evidence.settled.items():
        row = record.by_id.get(job_id)
        if len(outcomes) > 1:
            yield f"claim {claim} of job {job_id} was settled as {outcomes}"
        if row is None:
            yield f"job {job_id} was settled and has no row"
            continue
        failure = record.failure(job_id, claim)
        if failure is not None and failure.is_death and outcomes != ["Died"]:
            yield f"claim {claim} of job {job_id} was settled as {outcomes}, and taken from its worker"
        if (row.seq, claim) in stale:
            yield f"claim {claim} of job {job_id} was settled as {outcomes} and refused as too late"
        status = _FINAL_OUTCOMES.get(outcomes[0])
        if status is not None and (row.status, row.claim) != (status, claim):
            yield f"claim {claim} of job {job_id} was settled as {outcomes[0]}; it is {row.status} ({row.claim})"
    yield from _rows_are_sound(evidence)
    yield from _rows_go_forward(evidence)


def _rows_are_sound(evidence: Evidence) -> Iterator[str]:
    known: Dict[str, int] = {}
    for one in evidence.history.claims:
        known[one.id] = max(one.claim, known.get(one.id, 0))
    for row in evidence.record.rows:
        if row.status not in STATUSES:
            yield f"job {row.id} is {row.status!r}"
        if (row.worker_id is not None) != (row.status == "running"):
            yield f"job {row.id} is {row.status} and its worker {row.worker_id}"
        if row.claim < known.get(row.id, 0):
            yield f"job {row.id} was claimed {known[row.id]} times and counts {row.claim}"


def _rows_go_forward(evidence: Evidence) -> Iterator[str]:
    last: Dict[str, Tuple[int, int]] = {}
    holders = dict(evidence.holders)
    for seen in evidence.history.observed:
        before = last.get(seen.id, (0, 0))
        if seen.claim < before[0] or seen.deaths < before[1]:
            yield f"job {seen.id} went back from claim, deaths {before} to {(seen.claim, seen.deaths)}"
        last[seen.id] = (seen.claim, seen.deaths)
        if seen.status == "running" and seen.worker_id is not None:
            holder = holders.setdefault((seen.id, seen.claim), seen.worker_id)
            if holder != seen.worker_id:
                yield f"claim {seen.claim} of job {seen.id} was held by workers {holder} and {seen.worker_id}"


def groups_of_one_run_alone(evidence: Evidence) -> Iterator[str]:
    functions = {intent.key: intent.function for intent in evidence.history.intended}
    started: Dict[Tuple[str, int], int] = {}
    runs: Dict[str, List[Tuple[int, int, str, int]]] = defaultdict(list)
    for one in evidence.history.effects:
        # Who is killed, frozen or returned may run on, or end unseen: its place is given to the next.
        if functions.get(one.key) != evidence.limits.lone or evidence.was_cut_off(one.id, one.claim):
            continue
        if one.kind == "start":
            started[one.id, one.claim] = one.at
        elif (one.id, one.claim) in started:
            runs[evidence.limits.group_of(one.key)].append((started[one.id, one.claim], one.at, one.id, one.claim))
    for group, spans in runs.items():
        spans.sort()
        for (_, end, job_id, claim), (start, _, other_id, other_claim) in zip(spans, spans[1:]):
            if start < end:
                yield f"of group {group!r} job {other_id} ({other_claim}) started while job {job_id} ({claim}) ran"


def recovery_is_prompt(evidence: Evidence) -> Iterator[str]:
    limits = evidence.limits
    for late in late_recoveries(evidence.record, evidence.history, limits.promise_seconds, limits.lease_seconds):
        yield f"jobs of worker {late.worker_id} (process {late.pid}) waited {late.raw_seconds:.2f} s after its death"


def files_stay_small(evidence: Evidence) -> Iterator[str]:
    largest = max(evidence.history.journal_sizes, default=0)
    if largest > evidence.limits.journal_bytes:
        yield f"the journal grew to {largest:,} bytes of {evidence.limits.journal_bytes:,}"


def the_file_is_sound(evidence: Evidence) -> Iterator[str]:
    if evidence.record.integrity != "ok":
        yield f"integrity_check: {evidence.record.integrity}"


def all_end_as_they_must(evidence: Evidence) -> Iterator[str]:
    limits = evidence.limits
    for row in evidence.record.rows:
        expected = limits.expected.get(row.function)
        if row.status not in FINAL:
            yield f"job {row.id} ({row.function}) is still {row.status}"
        elif row.status != expected:
            yield f"job {row.id} ({row.function}) is {row.status} after {row.deaths} deaths, not {expected}"
        elif row.function == limits.poison and row.deaths != limits.max_deaths:
            yield f"poison {row.id} failed after {row.deaths} deaths of {limits.max_deaths}"


def effects_are_explained(evidence: Evidence) -> Iterator[str]:
    record, history = evidence.record, evidence.history
    seen = Counter((one.kind, one.id, one.claim) for one in history.effects)
    for (kind, job_id, claim), count in seen.items():
        row = record.by_id.get(job_id)
        if count > 1:
            yield f"claim {claim} of job {job_id} has its {kind} {count} times"
        if row is None or claim > row.claim:
            yield f"job {job_id} ran as claim {claim}, which was never committed"
        elif kind == "end" and not _is_of_record(row, claim) and not evidence.was_cut_off(job_id, claim):
            yield f"job {job_id} ran to its end as claim {claim}, which nothing in the record explains"
    for row in record.rows:
        if row.status == "completed" and ("end", row.id, row.claim) not in seen:
            yield f"job {row.id} is completed and never ran to its end as claim {row.claim}"


def _is_of_record(row: Row, claim: int) -> bool:
    return row.status == "completed" and row.claim == claim


def deaths_are_explained(evidence: Evidence) -> Iterator[str]:
    """A job is only taken from a worker that was killed, frozen or cut off, or whose job process was killed."""
    children: Dict[Tuple[str, int], int] = {
        (one.id, one.claim): one.pid for one in evidence.history.effects if one.kind == "start"
    }
    hurt_jobs = [fault for fault in evidence.history.faults if fault.kind == "kill" and fault.role == "job"]
    for row in evidence.record.rows:
        for failure in evidence.record.failures.get(row.seq, {}).values():
            pid = evidence.pid_of.get(failure.worker_id)
            if not failure.is_death or pid in evidence.hurt or evidence.was_unheard_of(pid, failure.finished_at):
                continue
            if children.get((row.id, failure.claim)) in evidence.killed:
                continue
            # A job process that was killed before its job had said anything.
            if not any(failure.started_at - 2_000_000 <= fault.at <= failure.finished_at for fault in hurt_jobs):
                yield f"job {row.id} lost claim {failure.claim} ({failure.message}) though nobody was hurt"


def lost_by_the_living(evidence: Evidence) -> Iterator[int]:
    """Yield the worker of each job that was taken from one who was neither killed nor frozen, but cut off."""
    for failures in evidence.record.failures.values():
        for failure in failures.values():
            pid = evidence.pid_of.get(failure.worker_id)
            if failure.is_death and pid not in evidence.hurt and evidence.was_unheard_of(pid, failure.finished_at):
                yield failure.worker_id


def nothing_is_left_behind(evidence: Evidence) -> Iterator[str]:
    yield from (f"left behind: {what}" for what in evidence.history.left_behind)
    up = set(evidence.pid_of.values())
    asked = {fault.pid for fault in evidence.history.faults if fault.kind == "stop"}
    for ended in evidence.history.ended:
        # Asked to end before it was a worker, a process knows no better than to die of it.
        is_early = ended.code == -signal.SIGTERM and ended.pid in asked and ended.pid not in up
        # Without a server there is nothing to be a worker of, it says so, and ends.
        is_early = is_early or (ended.pid not in up and ended.role == "worker" and evidence.was_away(ended.at))
        if ended.code != 0 and ended.pid not in evidence.killed and not is_early:
            yield f"{ended.role} {ended.pid} ended by itself with code {ended.code}"


RULES: Tuple[Tuple[int, Rule], ...] = (
    (1, acknowledged_jobs_are_there),
    (1, batches_are_whole),
    (2, nobody_enqueued_nothing),
    (3, completion_is_single_and_final),
    (4, tries_add_up),
    (5, fences_hold),
    (6, groups_of_one_run_alone),
    (7, recovery_is_prompt),
    (8, files_stay_small),
    (9, the_file_is_sound),
    (10, all_end_as_they_must),
    (11, effects_are_explained),
    (11, deaths_are_explained),
    (12, nothing_is_left_behind),
)
