"""The worker's one loop: each turn hands in the finished jobs and takes new ones, in one commit."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

from sqlite_job.core.clock import SECOND, Clock, elapsed
from sqlite_job.core.errors import DatabaseError
from sqlite_job.core.events import (
    Events,
    JobsClaimed,
    JobsSettled,
    OutcomesStale,
    StorageFailed,
    WorkerFailed,
)
from sqlite_job.core.jobs import ClaimedJob, Conditions
from sqlite_job.core.notes import JobNotes
from sqlite_job.core.outcomes import NOT_RUN, Limited, Outcome, Returned
from sqlite_job.core.stopping import GRACE_SECONDS, StopCause
from sqlite_job.engine.ahead import Ahead
from sqlite_job.engine.batch_rooms import BatchRooms
from sqlite_job.engine.executors import Executor
from sqlite_job.engine.expectation import Expectation
from sqlite_job.engine.gathering import Gathering
from sqlite_job.engine.housekeeping import Housekeeping, Service
from sqlite_job.engine.notebook import Notebook
from sqlite_job.engine.options import EngineOptions
from sqlite_job.engine.outage import Outage, is_passing
from sqlite_job.engine.outbox import Outbox
from sqlite_job.engine.registration import Registration
from sqlite_job.engine.unknown_functions import UnknownFunctions
from sqlite_job.storage.interface import CommitWatcher, Exchange, Storage, Wanted

# A job that was claimed ahead and has not started after this time goes back: another worker may be free.
_LONGEST_AHEAD_SECONDS = 0.25

# What was seen to be ready was another worker's in the end. Until its claim is committed it is seen all the same: of
# eight idle workers on a server, each job cost four turns for nothing.
_IN_VAIN_SECONDS = 0.02

# How long interrupted jobs have to end at shutdown: their executors kill or leave them after the grace.
_INTERRUPT_SECONDS = GRACE_SECONDS + 0.5

# At shutdown, where each second counts.
_RETRY_SECONDS = 0.1


def _ignore(_next_slot_at: Optional[int]) -> None:
    """Take no note of schedules."""


# Tells the limits of a job that was enqueued without them; None: it has none.
LimitsOf = Callable[[ClaimedJob], Optional[Conditions]]


class Engine:
    """Runs the jobs of one worker; all methods but `stop` belong to the one thread that runs the loop."""

    def __init__(
        self,
        storage: Storage,
        registration: Registration,
        options: EngineOptions,
        *,
        clock: Clock,
        events: Events,
        watcher: CommitWatcher,
        limits_of: LimitsOf,
        notebook: Optional[Notebook] = None,
    ) -> None:
        """Take the parts; `assign` and `keep_house` give the rest before the first turn.

        `limits_of` is asked about jobs of the functions in `options.limited` that were enqueued without limits.
        """
        self.outbox = Outbox(watcher.interrupt)
        self.notebook = notebook or Notebook(watcher.interrupt, clock)
        self._storage = storage
        self._registration = registration
        self._options = options
        self._clock = clock
        self._events = events
        self._watcher = watcher
        self._limits_of = limits_of
        self._executor: Executor
        self._quarantine: Optional[Executor] = None
        self._suspect: Optional[int] = None
        self.keep_house([])
        self._ahead = Ahead(options.slots if options.claims_ahead else 0)
        self._batches = BatchRooms(options.batches, options.functions)
        self._gathering = Gathering(self.outbox, watcher, options, storage)
        self._held: Dict[int, ClaimedJob] = {}
        self._unsettled: List[Outcome] = []
        self._paused: Tuple[str, ...] = ()
        self._last_notes: List[JobNotes] = []
        self._unknown = UnknownFunctions(storage, options.queues, options.functions, events)
        self._next_run_at: Optional[int] = None
        self._was_in_vain = False
        self._expectation = Expectation()
        self._outage = Outage(events)
        self._last_outcome = elapsed()
        self._stops = 0
        self.jobs_run = 0

    def assign(self, executor: Executor, quarantine: Optional[Executor] = None) -> None:
        """Give what runs the jobs; those whose worker died go to `quarantine`, if there is one."""
        self._executor = executor
        self._quarantine = quarantine

    def keep_house(self, services: Sequence[Service], expect_slot: Callable[[Optional[int]], None] = _ignore) -> None:
        """Do these now and then; call `expect_slot` with the time of the next schedule whenever nothing is ready."""
        self._housekeeping = Housekeeping(services)
        self._expect_slot = expect_slot

    def cancel(self, seq: int, reason: Optional[str]) -> None:
        """Stop a job that runs here, or take one back that has not started."""
        if any(executor.stop(seq, StopCause.CANCEL, reason) for executor in self._all_executors()):
            return
        # Returned, it is cancelled: storage knows of the wish.
        self._give_back(lambda job: job.seq == seq)

    def forget_held(self) -> None:
        """Drop what has not started here: the jobs were given to others."""
        for executor in self._all_executors():
            for job in executor.take_back():
                self._held.pop(job.seq, None)

    def run(self, *, burst: bool = False, max_jobs: Optional[int] = None) -> None:
        """Turn until stopped, with `burst` until nothing is ready, with `max_jobs` until so many ran; then shut down.

        Raises a DatabaseError that waiting does not mend; nothing is written after it.
        """
        try:
            self._run(burst=burst, max_jobs=max_jobs)
        except DatabaseError as error:
            self._give_up(error)
            raise

    def stop(self) -> None:
        """End the loop: claim no more, and shut down; a second call does not wait for running jobs.

        Safe from any thread and from a signal handler.
        """
        self._stops += 1
        self._watcher.interrupt()

    def turn(self) -> bool:
        """Settle what has finished and claim what is ready, in one commit; False when there was neither."""
        finished = self.outbox.take()
        # A batch takes as long as all of its jobs.
        ordinary = self._ordinary(finished) if self._batches else finished
        self._ahead.learn(ordinary, in_turn=self._gathering.has_run_in_turn)
        self._unsettled += finished
        if not self.notebook.is_empty:
            self._last_notes += self.notebook.take_of(self._unsettled)
        wanted = self._wanted()
        now = self._clock.now()
        self._was_in_vain = False
        is_expecting = self._expectation.is_strong
        if not self._unsettled and not (wanted and (is_expecting or self._is_ready(wanted, now))):
            self._expectation.note_turn(has_found=False)
            return False
        outcomes = self._unsettled
        exchange = self._storage.exchange(self._registration.worker_id, outcomes, wanted, now, self._last_notes)
        # Only now: had the exchange failed, they would be settled by a later one.
        self._unsettled, self._last_notes = [], []
        self._outage.end()
        self._account_settled(outcomes, exchange.stale)
        if exchange.is_expelled:
            self._registration.start_anew()
            self.forget_held()
        if exchange.unlimited:
            exchange = self._limit(exchange)
        if exchange.suspect or self._options.starts_on_record:
            self._storage.sync()
        self._start(exchange.claimed)
        self._start_suspect(exchange.suspect)
        # While they run.
        self._storage.sync()
        if wanted and exchange.paused != self._paused:
            self._heed_paused(exchange.paused)
        found = bool(exchange.claimed or exchange.suspect or exchange.unlimited or exchange.is_expelled)
        self._expectation.note_turn(has_found=found)
        # Nobody has looked, if a job was expected: the next turn does.
        self._was_in_vain = not (outcomes or found or is_expecting)
        return not self._was_in_vain

    def _run(self, *, burst: bool, max_jobs: Optional[int]) -> None:
        try:
            while not self._stops and (max_jobs is None or self.jobs_run < max_jobs):
                if self._guarded_turn():
                    continue
                if burst and not self._held and not self._was_in_vain:
                    break
                self._wait()
        except DatabaseError:
            raise
        except BaseException:
            self._shut_down()
            raise
        self._shut_down()

    def _guarded_turn(self) -> bool:
        # What a commit has brought comes first: somebody waits for its start.
        is_urgent = self._expectation.is_woken
        try:
            if not is_urgent:
                self._housekeeping.tick()
            did = self.turn()
            if did:
                self._gathering.wait(lambda: self._stops > 0)
            if is_urgent:
                self._housekeeping.tick()
            if not did:
                self._unknown.look()
        except DatabaseError as error:
            self._gathering.spread()
            self._expectation.is_woken = False
            self._watcher.wait(self._outage.meet(error), ignore_commits=True)
            return not self._stops
        return did or bool(self._unsettled)

    def _wanted(self) -> Optional[Wanted]:
        options = self._options
        occupied = len(self._held) - len(self._unsettled)
        batches: Tuple[Tuple[str, int], ...] = ()
        if self._batches:
            ended = {outcome.seq for outcome in self._unsettled}
            active = [job for seq, job in self._held.items() if seq not in ended]
            occupied, batches = self._batches.count_others(active), self._batches.rooms(active)
        room = options.slots - occupied + self._ahead.room(in_turn=self._gathering.is_on)
        if (room <= 0 and not batches) or self._stops:
            return None
        takes_suspect = self._suspect not in self._held
        return Wanted(
            options.queues,
            self._batches.others,
            max(room, 0),
            takes_suspect,
            options.limited,
            options.weights,
            tuple(options.batches),
            batches,
            options.queue_limits,
        )

    def _is_ready(self, wanted: Wanted, now: int) -> bool:
        self._watcher.forget()
        peek = self._storage.peek(wanted, now)
        self._outage.end()
        self._next_run_at = peek.next_run_at
        self._expect_slot(peek.next_slot_at)
        return peek.is_ready

    def _account_settled(self, outcomes: Sequence[Outcome], stale: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        self._last_outcome = elapsed()
        pop = self._held.pop
        if stale:
            for outcome in stale:
                held = self._held.get(outcome.seq)
                # Rescued and claimed anew, by this very worker, while the earlier run was still going on?
                if held is not None and held.claim_number == outcome.claim_number:
                    pop(outcome.seq)
            self._events.emit(OutcomesStale(stale))
            gone = set(map(id, stale))
            outcomes = [outcome for outcome in outcomes if id(outcome) not in gone]
        settled = [(pop(outcome.seq), outcome) for outcome in outcomes]
        self.jobs_run += sum(type(outcome) not in NOT_RUN for outcome in outcomes)
        self._events.emit(JobsSettled(settled))

    def _ordinary(self, outcomes: Sequence[Outcome]) -> List[Outcome]:
        return [one for one in outcomes if one.seq in self._held and self._held[one.seq] not in self._batches]

    def _start(self, claimed: List[ClaimedJob]) -> None:
        if not claimed:
            return
        for job in claimed:
            self._held[job.seq] = job
        self._gathering.submit(self._executor, claimed, len(self._held), self._ahead.seconds_of(len(claimed)))
        self._events.emit(JobsClaimed(claimed))

    def _limit(self, exchange: Exchange) -> Exchange:
        """Put jobs back that should have waited for others: their producer did not know the settings."""
        for job in exchange.unlimited:
            conditions = self._limits_of(job)
            if conditions is not None:
                self._held[job.seq] = job
                self._unsettled.append(Limited(job.seq, job.claim_number, conditions))
                if job is exchange.suspect:
                    exchange = exchange._replace(suspect=None)
            elif job is not exchange.suspect:
                exchange.claimed.append(job)
        return exchange

    def _start_suspect(self, suspect: Optional[ClaimedJob]) -> None:
        """Run a job whose worker died alone, one at a time: if it kills again, no other job dies with it."""
        if suspect is None:
            return
        self._suspect = suspect.seq
        self._held[suspect.seq] = suspect
        self._events.emit(JobsClaimed([suspect]))
        (self._quarantine or self._executor).submit([suspect])

    def _heed_paused(self, paused: Tuple[str, ...]) -> None:
        """Give back what was claimed ahead from queues that have been paused since."""
        anew = set(paused) - set(self._paused)
        self._paused = paused
        if anew:
            self._give_back(lambda job: job.queue in anew)

    def _give_back(self, is_unwanted: Callable[[ClaimedJob], bool]) -> None:
        """Return jobs that have not started."""
        self._gathering.forget()
        for executor in self._all_executors():
            unstarted = executor.take_back()
            kept = [job for job in unstarted if not is_unwanted(job)]
            if kept:
                executor.submit(kept)
            self._unsettled += [Returned(job.seq, job.claim_number) for job in unstarted if is_unwanted(job)]

    def _all_executors(self) -> List[Executor]:
        return [self._executor] if self._quarantine is None else [self._executor, self._quarantine]

    def _wait(self) -> None:
        """Sleep until an outcome, a commit, a due time, or the safety poll."""
        if not self.outbox.await_next():
            return
        self._expectation.is_woken = self._watcher.wait(self._longest_wait(), ignore_commits=self._wanted() is None)
        self.outbox.stop_awaiting()
        if self._holds_ahead() and elapsed() - self._last_outcome > _LONGEST_AHEAD_SECONDS:
            self._give_back(lambda job: job not in self._batches)
            self._ahead.forget()

    def _longest_wait(self) -> float:
        seconds = min(self._options.poll_delay, self._housekeeping.seconds_until_due())
        if self._next_run_at is not None:
            seconds = min(seconds, max(self._next_run_at - self._clock.now(), 0) / SECOND)
        if self._holds_ahead():
            seconds = min(seconds, _LONGEST_AHEAD_SECONDS)
        if self._was_in_vain:
            seconds = min(seconds, _IN_VAIN_SECONDS)
        return seconds

    def _holds_ahead(self) -> bool:
        return self._batches.count_others(self._held.values()) > self._options.slots

    def _give_back_unstarted(self) -> None:
        for executor in self._all_executors():
            self._unsettled += [Returned(job.seq, job.claim_number) for job in executor.take_back()]
        self._ahead.forget()

    def _shut_down(self) -> None:
        """Return the unstarted, give the running their time, then return them too."""
        self._stops = max(self._stops, 1)
        self._give_back_unstarted()
        self._settle_until(elapsed() + self._options.shutdown_timeout)
        if self._held:
            for executor in self._all_executors():
                executor.interrupt()
            self._settle_until(elapsed() + (_INTERRUPT_SECONDS if self._stops == 1 else 0))
        # Threads that are still busy: their outcome will find the fence closed.
        self._unsettled += self.outbox.take()
        ended = {outcome.seq for outcome in self._unsettled}
        self._unsettled += [Returned(job.seq, job.claim_number) for job in self._held.values() if job.seq not in ended]
        self._settle()

    def _settle_until(self, deadline: float) -> None:
        stops = self._stops
        self._settle()
        while self._held and elapsed() < deadline and self._stops == stops:
            if self.outbox.await_next():
                seconds = min(deadline - elapsed(), self._housekeeping.seconds_until_due())
                self._watcher.wait(seconds, ignore_commits=True)
            self.outbox.stop_awaiting()
            self._settle()

    def _settle(self) -> None:
        try:
            self._housekeeping.tick()  # the lease must last until the last job has ended
            self.turn()
        except DatabaseError as error:
            if not is_passing(error):
                raise
            # The jobs stay recorded as running by this worker, which is about to end: they will be rescued.
            self._events.emit(StorageFailed(error, 0))
            self._watcher.wait(_RETRY_SECONDS, ignore_commits=True)

    def _give_up(self, error: DatabaseError) -> None:
        """End without another word to the database: it is damaged, or not the one that the jobs came from.

        What was held stays recorded as running by this worker, and is rescued by the next one.
        """
        self._stops = max(self._stops, 1)
        self._registration.abandon()
        for executor in self._all_executors():
            executor.take_back()
            executor.interrupt()
        self._events.emit(WorkerFailed(self._registration.worker_id, error, len(self._held)))
