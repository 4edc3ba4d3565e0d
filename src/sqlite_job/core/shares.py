"""Share out a worker's room among its queues by their weights, so that none starves."""

from __future__ import annotations

from typing import Callable, List, Mapping, Tuple

from sqlite_job.core.errors import InvalidOptionError
from sqlite_job.core.numbers import is_whole


def check_weights(weights: Mapping[str, int]) -> None:
    """Raise InvalidOptionError for weights that are not whole numbers from 1."""
    for queue, weight in weights.items():
        if not is_whole(weight, least=1):
            message = (
                f"the weight of queue {queue!r} is a whole number from 1, not {weight!r}; leave the queue out to take "
                f"nothing from it, or pause it"
            )
            raise InvalidOptionError(message)


def share_out(room: int, weights: Mapping[str, int], draw: Callable[[], float]) -> List[Tuple[str, int]]:
    """Return how many of `room` jobs each queue may give, in the order to take them; queues with none are left out.

    Each share is its exact part rounded up or down, so that over many calls its mean is the exact part; the order is
    random, heavier queues more often first. `draw` gives numbers from 0 up to 1.
    """
    # Efraimidis and Spirakis: so the first one is each queue with the probability of its part.
    order = sorted(weights, key=lambda queue: draw() ** (1 / weights[queue]), reverse=True)
    total = sum(weights.values())
    offset = int(draw() * total)
    shares: List[Tuple[str, int]] = []
    passed = taken = 0
    for queue in order:
        passed += weights[queue]
        # Marks at equal distances along all parts, moved by one random offset: whole numbers, so the sum is exact.
        marks = (room * passed + offset) // total
        if marks > taken:
            shares.append((queue, marks - taken))
        taken = marks
    return shares
