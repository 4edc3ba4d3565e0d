"""Claim from several queues by their weights."""

from __future__ import annotations

from operator import itemgetter
from typing import Callable, Dict, List, Mapping

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
    return _mix(claimed, wanted.weights or {})


def _mix(claimed: Mapping[str, List[ClaimedJob]], weights: Mapping[str, int]) -> List[ClaimedJob]:
    """Let the queues run side by side, by their weights, also within a large claim."""
    places = [
        ((place + 0.5) / weights[queue], number, job)
        for number, (queue, jobs) in enumerate(claimed.items())
        for place, job in enumerate(jobs)
    ]
    return [job for _, _, job in sorted(places, key=itemgetter(0, 1))]
