"""State the contract of storage on queues: to stop and start the claims from one of them."""

from __future__ import annotations

from typing import Dict, Protocol


class QueueStorage(Protocol):
    """What is known of queues besides their jobs."""

    def pause(self, queue: str, now: int) -> bool:
        """Let nobody claim from a queue from now on, whether or not it has jobs; False when it was paused already.

        Jobs that run go on; all else goes on too: jobs are enqueued, promoted, cancelled and rescued.
        """
        ...

    def resume(self, queue: str) -> bool:
        """Let a paused queue's jobs be claimed again; False when it was not paused."""
        ...

    def paused_queues(self) -> Dict[str, int]:
        """Return the paused queues, each with the time since when."""
        ...
