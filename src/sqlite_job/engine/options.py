"""What an engine needs to know of its worker's settings."""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping, NamedTuple, Optional, Tuple

from sqlite_job.core.limits import QueueLimit


class EngineOptions(NamedTuple):
    """The settings of one engine; without `weights` the queues are served in strict order."""

    queues: Tuple[str, ...]
    functions: Tuple[str, ...]
    slots: int
    poll_delay: float
    shutdown_timeout: float
    limited: Tuple[str, ...] = ()
    weights: Optional[Mapping[str, int]] = None
    claims_ahead: bool = True
    batches: Mapping[str, int] = MappingProxyType({})
    queue_limits: Tuple[QueueLimit, ...] = ()
    starts_on_record: bool = False  # no power cut can undo that a job has started
