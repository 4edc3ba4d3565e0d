"""Claim from several queues by their weights."""

from __future__ import annotations

from typing import Callable, List

from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.shares import share_out
from sqlite_job.storage.interface import Wanted


def claim_by_weight(
    wanted: Wanted, claim: Callable[[Wanted], List[ClaimedJob]], draw: Callable[[], float]
) -> List[ClaimedJob]:
    """Call `claim` for one queue after the other, each for its share of the room.

    What a queue does not fill is shared out anew among the others, until the room or the jobs are used up.
    """
    weights = wanted.weights
    claimed: List[ClaimedJob] = []
    while weights and len(claimed) < wanted.room:
        emptied = set()
        for queue, share in share_out(wanted.room - len(claimed), weights, draw):
            found = claim(wanted._replace(queues=(queue,), room=share))
            claimed += found
            if len(found) < share:
                emptied.add(queue)
        weights = {queue: weight for queue, weight in weights.items() if queue not in emptied}
    return claimed
