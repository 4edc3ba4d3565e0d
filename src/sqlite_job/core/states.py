"""Name the states of a job and the verbs between them: the one table that SQL, docs and tests are made from."""

from __future__ import annotations

from enum import Enum
from typing import FrozenSet, Mapping, NamedTuple


class JobStatus(str, Enum):
    """Where a job is in its life; each value is the text stored in the database."""

    PENDING = "pending"
    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    def __str__(self) -> str:
        """Return the stored text, so that f-strings read the same on every Python."""
        return self.value

    @property
    def is_final(self) -> bool:
        """Whether the job has ended: only an operator's requeue leads out of a final status."""
        return self in FINAL


class Transition(NamedTuple):
    """The statuses a verb may start from and those it may lead to."""

    sources: FrozenSet[JobStatus]
    targets: FrozenSet[JobStatus]


_S = JobStatus
FINAL = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED})
WAITING = frozenset({_S.PENDING, _S.SCHEDULED, _S.BLOCKED})
_NONE: FrozenSet[JobStatus] = frozenset()

TRANSITIONS: Mapping[str, Transition] = {
    "enqueue": Transition(_NONE, WAITING),
    "promote": Transition(frozenset({_S.SCHEDULED}), frozenset({_S.PENDING, _S.BLOCKED})),
    "release": Transition(frozenset({_S.BLOCKED}), frozenset({_S.PENDING})),
    "claim": Transition(frozenset({_S.PENDING}), frozenset({_S.RUNNING})),
    "complete": Transition(frozenset({_S.RUNNING}), frozenset({_S.COMPLETED})),
    "fail": Transition(frozenset({_S.RUNNING}), frozenset({_S.FAILED})),
    "retry": Transition(frozenset({_S.RUNNING}), WAITING),
    "snooze": Transition(frozenset({_S.RUNNING}), WAITING),
    "suspend": Transition(frozenset({_S.RUNNING}), WAITING),
    "rescue": Transition(frozenset({_S.RUNNING}), frozenset({_S.PENDING, _S.BLOCKED})),
    "return": Transition(frozenset({_S.RUNNING}), frozenset({_S.PENDING, _S.BLOCKED})),
    "cancel": Transition(WAITING | {_S.RUNNING}, frozenset({_S.CANCELLED})),
    "expire": Transition(WAITING, frozenset({_S.CANCELLED})),
    "requeue": Transition(FINAL, frozenset({_S.PENDING, _S.BLOCKED})),
    "prune": Transition(FINAL, _NONE),
}
