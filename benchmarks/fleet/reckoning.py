"""Reckon what a day asks of one server, whatever way workers are woken: no simulation is needed for it."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Tuple

from benchmarks.fleet.assumptions import DAY, Costs, Fleet, Load, Server

# Of a job whose result is kept: what is written of it, and what of that is dead in the end. Each change of its status
# is a new version of the row, and new entries in its indexes, since the status stands in their conditions.
_JOB_VERSIONS, _BLOB_ROWS = 3, 2
_INDEX_ENTRIES = 3 * 2 + 3 + 2

# See storage/migrations/versions/0003_postgres.py: when autovacuum comes to the table of jobs.
_VACUUM_SHARE, _VACUUM_LEAST = 0.01, 1_000


class Account(NamedTuple):
    """What a day is made of."""

    load: Load
    fleet: Fleet
    server: Server
    costs: Costs

    @property
    def running(self) -> float:
        """How many jobs run at a time, on average (Little's law)."""
        return self.load.mean_rate * self.load.durations.mean

    @property
    def kept_jobs(self) -> float:
        return self.load.jobs_a_day * self.load.kept_days

    @property
    def written_rows(self) -> float:
        return self.load.jobs_a_day * (_JOB_VERSIONS + _BLOB_ROWS)

    @property
    def dead_rows(self) -> float:
        """In the long run all that was written: two versions by the changes of status, the rest when it is pruned."""
        return self.written_rows

    @property
    def index_entries(self) -> float:
        return self.load.jobs_a_day * _INDEX_ENTRIES

    @property
    def bytes_of_a_job(self) -> float:
        return self.costs.job_row + self.costs.blobs + self.load.payload_bytes + self.load.result_bytes

    @property
    def kept_bytes(self) -> float:
        return self.kept_jobs * self.bytes_of_a_job

    @property
    def wal_bytes(self) -> float:
        costs = self.costs
        each = costs.wal_of_enqueue + costs.wal_of_turns + costs.wal_of_prune
        return self.load.jobs_a_day * (each + self.load.payload_bytes + self.load.result_bytes)

    @property
    def vacuums(self) -> float:
        """How often autovacuum comes to the table of jobs."""
        dead = self.load.jobs_a_day * _JOB_VERSIONS
        return dead / (_VACUUM_LEAST + _VACUUM_SHARE * self.kept_jobs)

    @property
    def vacuumed_bytes(self) -> float:
        """What its passes read of indexes, if each reads all of them."""
        return self.vacuums * self.kept_jobs * self.costs.job_indexes

    @property
    def connections(self) -> float:
        return (self.fleet.workers + self.fleet.producers) * self.fleet.connections_each

    @property
    def session_bytes(self) -> float:
        return self.connections * self.costs.session_memory

    @property
    def heartbeats(self) -> float:
        return self.fleet.workers / self.fleet.heartbeat_every

    @property
    def lease_rows(self) -> float:
        """How many rows of workers are read in a second: each reads those of all."""
        return self.fleet.workers**2 / self.fleet.rescue_every

    @property
    def upkeep_cores(self) -> float:
        """What heartbeats and looks for dead workers keep busy."""
        share = self.fleet.workers / self.costs.of_workers
        rescues = self.fleet.workers / self.fleet.rescue_every * self.costs.leases * share
        looks = min(self.fleet.lock_looks, self.fleet.workers / self.fleet.rescue_every) * self.costs.lock_look * share
        return self.heartbeats * self.costs.heartbeat + rescues + looks

    @property
    def cores_of_jobs(self) -> float:
        """What a job costs that is alone in each of its transactions, at the mean rate."""
        costs = self.costs
        turns = 2 * costs.turn + costs.first_claim + costs.claim + costs.first_settle + costs.settle
        return self.load.mean_rate * (costs.enqueue + turns + 2 * costs.peek + costs.prune)

    def rows(self) -> Iterator[Tuple[str, str]]:
        """Say it all, as texts."""
        load, durations, fleet = self.load, self.load.durations, self.fleet
        yield "jobs", f"{load.mean_rate:,.0f}/s on average, {load.peak_rate:,.0f}/s at the peak (x{load.peak_factor:g})"
        yield (
            "a job runs for",
            (
                f"{durations.median * 1e3:.0f} ms (median), {durations.quantile(-1.645) * 1e3:.0f} ms (5 %), "
                f"{durations.quantile(2.326):.0f} s (99 %), {durations.mean:.2f} s (mean)"
            ),
        )
        slots = fleet.workers * fleet.slots
        yield (
            "running at a time",
            (f"{self.running:,.0f} on average, {self.running * load.peak_factor:,.0f} at the peak, of {slots:,} slots"),
        )
        yield "transactions, if none shares", f"{3 * load.mean_rate:,.0f}/s: enqueue, claim, settle"
        yield (
            "cores for those, and to prune",
            (f"{self.cores_of_jobs:.1f} on average, {self.cores_of_jobs * load.peak_factor:.1f} at the peak"),
        )
        yield "connections", f"{self.connections:,.0f}, {_bytes(self.session_bytes)} of memory while idle"
        yield (
            "heartbeats; looks for dead workers",
            (
                f"{self.heartbeats:,.0f}/s; {fleet.workers / fleet.rescue_every:,.0f}/s, which read "
                f"{self.lease_rows:,.0f} rows of leases a second; {self.upkeep_cores:.2f} cores together"
            ),
        )
        yield "row versions written", f"{_millions(self.written_rows)} a day, as many dead ones to clean"
        yield "index entries written", f"{_millions(self.index_entries)} a day"
        yield "WAL, without full pages", f"{_bytes(self.wal_bytes)} a day, {_bytes(self.wal_bytes / DAY)}/s"
        yield (
            f"tables, kept for {load.kept_days:g} days",
            (f"{_millions(self.kept_jobs)} jobs, {_bytes(self.kept_bytes)}"),
        )
        yield (
            "autovacuum of the jobs",
            (f"{self.vacuums:,.0f} passes a day, which read up to {_bytes(self.vacuumed_bytes)} of indexes"),
        )


def _millions(count: float) -> str:
    return f"{count / 1e6:,.0f} million"


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"
