"""What SQLite does in its own way, because nobody else writes until a transaction ends."""

from __future__ import annotations

import json
from functools import lru_cache, partial
from itertools import chain
from typing import Any, Callable, List, Mapping, Sequence, Tuple

from sqlite_job.core.jobs import ClaimedJob, NewJob
from sqlite_job.storage.base import SQLStorage
from sqlite_job.storage.inserting import insert_plain
from sqlite_job.storage.sql import completion, job, take
from sqlite_job.storage.statement import Row
from sqlite_job.storage.transaction import Transaction

# Without the check of their number that `_make` does: the statement has as many columns as there are fields.
_to_claimed: Callable[[Row], ClaimedJob] = partial(tuple.__new__, ClaimedJob)


class SqliteVerbs(SQLStorage):
    """The verbs whose statements differ on SQLite."""

    works_in_process = True

    def _enqueue(self, transaction: Transaction, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        if len(jobs) == 1 and jobs[0].is_plain:
            insert_plain(transaction, jobs[0])
            return {}
        return super()._enqueue(transaction, jobs)

    def _next_seqs(self, transaction: Transaction, count: int) -> Sequence[int]:
        # Inside a write transaction nobody else inserts.
        last = transaction.rows(job.LAST_SEQ)
        first = int(last[0][0]) + 1 if last else 1
        return range(first, first + count)

    def _claim_of_queue(  # noqa: PLR0917 - as the base
        self, transaction: Transaction, worker_id: int, queue: str, functions: Any, room: int, now: int
    ) -> List[ClaimedJob]:
        claimed = list(map(_to_claimed, transaction.rows(take.CLAIMABLE, queue, functions, now, room)))
        if claimed:
            transaction.run(take.TAKE, now, worker_id, self._array([job.seq for job in claimed]))
        return claimed

    def _complete(self, transaction: Transaction, rows: Sequence[Row]) -> int:
        some = completion.SOME
        whole = len(rows) - len(rows) % some
        ended = [
            transaction.run(completion.COMPLETE_SOME, *chain.from_iterable(rows[start : start + some]))
            for start in range(0, whole, some)
        ]
        ended += [transaction.run(completion.COMPLETE, *row) for row in rows[whole:]]
        return sum(ended)

    def _array(self, values: Sequence[Any]) -> str:
        return _array_of_names(values) if type(values) is tuple else json.dumps(values)


@lru_cache(maxsize=64)
def _array_of_names(names: Tuple[str, ...]) -> str:
    """Return the queues or functions that a worker asks for in each of its turns, encoded once."""
    return json.dumps(names)
