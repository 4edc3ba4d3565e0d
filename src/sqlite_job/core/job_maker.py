"""Make jobs ready to be stored, of calls and options: for those who enqueue, and for schedules."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Sequence

from sqlite_job.core.conditions import NO_FLOW, Flow, conditions_of
from sqlite_job.core.errors import PayloadTooLargeError
from sqlite_job.core.jobs import NewJob
from sqlite_job.core.options import NO_OPTIONS, JobOptions
from sqlite_job.core.parameters import NO_PARAMETERS, Parameters
from sqlite_job.core.previews import Previews
from sqlite_job.core.serializers import Codecs


class Resolved(NamedTuple):
    """What is known of a function without an option: its name, where its jobs go, its parameters, and its flow."""

    name: str
    queue: str
    priority: int
    parameters: Parameters = NO_PARAMETERS
    flow: Optional[Flow] = None


class JobMaker:
    """Encodes calls, bounded, and writes previews of them."""

    def __init__(self, codecs: Codecs, max_payload: int, previews: Optional[Previews]) -> None:
        """Take `max_payload` in bytes; without `previews` jobs have none."""
        self._codecs = codecs
        self._max_payload = max_payload
        self._previews = previews

    @property
    def codec(self) -> str:
        """The name of what encodes."""
        return self._codecs.encoder.name

    def encode(self, function: str, job_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """Return arguments as bytes that are for this job; raises EncodeError or PayloadTooLargeError."""
        encoded = self._codecs.encode((args, kwargs), function, job_id)
        if len(encoded) > self._max_payload:
            raise PayloadTooLargeError(f"the arguments of {function}", len(encoded), self._max_payload)
        return encoded

    def preview(
        self, function: str, parameters: Parameters, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Optional[str]:
        """Return the arguments as a short text."""
        return None if self._previews is None else self._previews.of_call(function, parameters, args, kwargs)

    def make(  # noqa: PLR0917 - on the way of each job
        self,
        resolved: Resolved,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: JobOptions,
        job_id: str,
        now: int,
    ) -> NewJob:
        """Return a job; it has an id of the caller's own if `options` has it."""
        name, queue, priority, parameters, flow = resolved
        encoded = self.encode(name, job_id, args, kwargs)
        previews = self._previews
        run_at = conditions = None
        if flow is not None or options is not NO_OPTIONS:
            run_at = options.run_time(now)
            if flow is not None or options.has_conditions:
                conditions = conditions_of(options, flow or NO_FLOW, name, tuple(args), kwargs, now=now, run_at=run_at)
        return NewJob(
            job_id,
            options.queue or queue,
            name,
            priority if options.priority is None else options.priority,
            now,
            run_at,
            options.max_tries,
            options.timeout,
            self._codecs.encoder.name,
            encoded,
            None if previews is None else previews.of_call(name, parameters, args, kwargs),
            options.tags,
            options.meta,
            options.job_id is not None,
            conditions,
        )
