"""dramatiq with Redis and its Results middleware; threads, eight a process unless more have to wait at once."""

from __future__ import annotations

import sys
from typing import Any, Dict, List

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import ResultMissing, Results
from dramatiq.results.backends import RedisBackend

from benchmarks.compare import place
from benchmarks.compare.jobs import PLAIN, Arguments

_place = place.here()
_backend = RedisBackend(url=_place.store)
broker = RedisBroker(url=_place.store)
broker.add_middleware(Results(backend=_backend))
dramatiq.set_broker(broker)

_actor = dramatiq.actor(PLAIN[_place.kind], actor_name=_place.kind, store_results=True)
_sent: Dict[str, Any] = {}

enqueue_bulk = None


def prepare() -> None:
    broker.client.ping()


def enqueue(arguments: List[Arguments]) -> List[str]:
    messages = [_actor.send(*each) for each in arguments]
    _sent.update((message.message_id, message) for message in messages)
    return [message.message_id for message in messages]


def commands(processes: int) -> List[List[str]]:
    options = ["-p", str(processes), "-t", str(_place.concurrency or 8)]
    return [[sys.executable, "-m", "dramatiq", __name__, *options]]


def waiting() -> int:
    # A message stays here until it is acknowledged.
    return broker.client.hlen("dramatiq:default.msgs")


def finished() -> int:
    # The keys of results are hashes, which say nothing to a search.
    return broker.client.exists(*(_backend.build_message_key(message) for message in _sent.values()))


def results(ids: List[str]) -> List[Any]:
    return [_result(_sent[each]) for each in ids]


def _result(message: Any) -> Any:
    try:
        return message.get_result(backend=_backend)
    except ResultMissing:
        return None
