"""Claim from several queues by their weights."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List

from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.shares import share_out
from sqlite_job.storage.interface import Wanted


def claim_by_weight(
    wanted: Wanted, claim: Callable[[Wanted], List[ClaimedJob]], draw: Callable[[], float]
) -> List[ClaimedJob]:
    """Call `claim` for one queue after the other, each for its share of the room.

    What a queue does not fill is shared out anew among the others, until the room or the jobs are used up. The jobs
    come mixed, each queue's in their order.
    """
    weights = wanted.weights
    claimed: Dict[str, List[ClaimedJob]] = {queue: [] for queue in wanted.queues}
    room = wanted.room
    while weights and room > 0:
        emptied = set()
        for queue, share in share_out(room, weights, draw):
            found = claim(wanted._replace(queues=(queue,), room=share))
            claimed[queue] += found
            room -= len(found)
            if len(found) < share:
                emptied.add(queue)
        weights = {queue: weight for queue, weight in weights.items() if queue not in emptied}
    return _mix(claimed.values())


def _mix(parts: Iterable[List[ClaimedJob]]) -> List[ClaimedJob]:
    """Spread each part evenly over the whole, so that the queues run side by side also within a large claim."""
    places = [
        ((place + 0.5) / len(jobs), number, job) for number, jobs in enumerate(parts) for place, job in enumerate(jobs)
    ]
    return [job for _, _, job in sorted(places, key=lambda place: place[:2])]
