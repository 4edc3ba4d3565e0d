"""Read the encoded arguments of jobs, for those who look at what was enqueued."""

from __future__ import annotations

from typing import Optional

from sqlite_job.core.jobs import StoredArguments
from sqlite_job.storage.sql import payload
from sqlite_job.storage.transacting import Transacting


class ArgumentVerbs(Transacting):
    """What is asked about payloads."""

    def arguments(self, job_id: str) -> Optional[StoredArguments]:
        """Read one job's encoded arguments."""
        rows = self._read(lambda transaction: transaction.rows(payload.OF_JOB, job_id))
        return StoredArguments(*rows[0]) if rows else None
