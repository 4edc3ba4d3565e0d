"""Read the clock on the wall and the CPU's together.

The first is what users wait for. The second is what the program needs: it stays the same when others use the machine.
"""

from __future__ import annotations

import time
from typing import NamedTuple


class Clocks(NamedTuple):
    """Seconds, of which only differences mean anything; `cpu` is of all threads of this process."""

    wall: float
    cpu: float

    def since(self, began: Clocks) -> Clocks:
        return Clocks(self.wall - began.wall, self.cpu - began.cpu)


def read() -> Clocks:
    return Clocks(time.perf_counter(), time.process_time())
