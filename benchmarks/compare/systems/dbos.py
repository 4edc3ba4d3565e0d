"""DBOS on SQLite: a workflow without steps for each job, from a queue; its default polling of once a second."""

from __future__ import annotations

import sys
import threading
from typing import Any, List

from dbos import DBOS, DBOSClient

from benchmarks.compare import place
from benchmarks.compare.jobs import PLAIN, Arguments

_place = place.here()
_url = f"sqlite:///{_place.store}"
_QUEUE = "compared"
_clients: List[Any] = []


def launch(executor: str) -> None:
    DBOS(config={"name": "compared", "system_database_url": _url, "executor_id": executor, "log_level": "WARNING"})
    DBOS.workflow(name=_place.kind)(PLAIN[_place.kind])
    DBOS.launch()
    DBOS.register_queue(_QUEUE, worker_concurrency=_place.concurrency or 500)


def prepare() -> None:
    # Only an application makes the database.
    launch("maker")
    DBOS.destroy()
    _clients.append(DBOSClient(system_database_url=_url))


def enqueue(arguments: List[Arguments]) -> List[str]:
    options = {"queue_name": _QUEUE, "workflow_name": _place.kind}
    return [_clients[0].enqueue(options, *each).get_workflow_id() for each in arguments]


enqueue_bulk = None


def commands(processes: int) -> List[List[str]]:
    return [[sys.executable, "-m", __name__, f"executor-{number}"] for number in range(processes)]


def waiting() -> int:
    return _count(["ENQUEUED", "PENDING"])


def finished() -> int:
    return _count(["SUCCESS"])


def results(ids: List[str]) -> List[Any]:
    return [_clients[0].retrieve_workflow(each).get_result() for each in ids]


def _count(statuses: List[str]) -> int:
    found = _clients[0].list_workflows(status=statuses, load_input=False, load_output=False)
    return len(found)


if __name__ == "__main__":
    launch(sys.argv[1])
    threading.Event().wait()
