"""The figures of a run, counted from its database and history."""

from __future__ import annotations

from collections import Counter
from typing import Dict, List

from tests.chaos.checker import Evidence, Limits, Violation, lost_by_the_living
from tests.chaos.history import History
from tests.chaos.record import Record
from tests.chaos.recovery import recoveries


def figures(database: str, history: History, limits: Limits, violations: List[Violation]) -> Dict[str, str]:
    """Return what a run is judged by, as texts by name."""
    record = Record(database)
    ids = {row.id for row in record.rows}
    kills = Counter(fault.role for fault in history.faults if fault.kind == "kill")
    cuts = Counter(fault.role for fault in history.faults if fault.kind == "cut")
    downs = Counter(fault.role for fault in history.faults if fault.kind == "down")
    believed_dead = len(set(lost_by_the_living(Evidence(record, history, limits))))
    freezes = sum(fault.kind == "freeze" for fault in history.faults)
    done = [one.id for one in history.settled if one.outcome == "Completed"]
    innocents = [row for row in record.rows if limits.expected.get(row.function) == "completed"]
    ends = Counter(one.id for one in history.effects if one.kind == "end")
    recovered = recoveries(record, history)
    seconds = (history.drained_at - history.began_at) / 1e6
    taken = sum(failure.is_death for failures in record.failures.values() for failure in failures.values())
    return {
        "seconds of faults": f"{(history.calm_at - history.began_at) / 1e6:.0f}",
        "seconds to drain after them": f"{(history.drained_at - history.calm_at) / 1e6:.1f}",
        "jobs acknowledged": f"{len(history.acknowledged):,}",
        "jobs in the record": f"{len(record.rows):,}",
        "lost": str(sum(one.id not in ids for one in history.acknowledged)),
        "completed twice in the record": str(sum(count > 1 for count in Counter(done).values())),
        "innocent failed": str(sum(row.status != "completed" for row in innocents)),
        "stuck": str(sum(row.status not in {"completed", "failed", "cancelled"} for row in record.rows)),
        "kills": ", ".join(f"{count} {role}" for role, count in sorted(kills.items())) + f" ({sum(kills.values())})",
        "freezes": str(freezes),
        "sessions cut": f"{cuts['session']}, and {cuts['listener']} by which a process listens",
        "restarts of the server": f"{downs['fast']} fast, {downs['immediate']} after a crash",
        "enqueues refused, as the server was away": str(history.refused),
        "claims": f"{sum(row.claim for row in record.rows):,}",
        "claims that lost their worker or job process": f"{taken:,}",
        "most deaths of an innocent job": str(max((row.deaths for row in innocents), default=0)),
        "jobs whose effect happened more than once": str(sum(count > 1 for count in ends.values())),
        "living workers whose jobs were taken, as nothing was heard of them": str(believed_dead),
        "outcomes refused as too late": str(len(history.stale)),
        "workers killed while they held jobs": str(len(recovered)),
        "worst recovery, seconds": f"{max((one.seconds for one in recovered), default=0):.2f}",
        "worst recovery, seconds, where locks told nothing": (
            f"{max((one.lease_seconds for one in recovered), default=0):.2f}"
        ),
        "worst recovery with every worker dead, frozen or locked out": (
            f"{max((one.raw_seconds for one in recovered), default=0):.2f}"
        ),
        "largest journal, or all tables and indexes, MB": f"{max(history.journal_sizes, default=0) / 1e6:.1f}",
        "integrity_check": record.integrity,
        "jobs finished a second, all in all": f"{len(record.rows) / max(seconds, 1e-6):.0f}",
        "violations": str(len(violations)),
    }
