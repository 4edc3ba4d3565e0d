"""How much each benchmark does."""

from __future__ import annotations

from typing import NamedTuple, Tuple


class Sizes(NamedTuple):
    repeat: int = 3
    drain: int = 30_000
    naps: int = 3_000
    enqueue_full: int = 3_000
    enqueue_normal: int = 8_000
    enqueue_bulk: int = 50_000
    enqueue_threads: int = 8_000
    latencies: int = 300
    idle_seconds: float = 20.0
    imports: int = 10
    growth: Tuple[int, ...] = (1_000, 100_000, 1_000_000)
    growth_exchanges: int = 40
    growth_enqueues: int = 300
    retention: int = 1_000_000


FULL = Sizes()

# For a look while one works on something: a minute in all, and figures that scatter more.
QUICK = Sizes(
    drain=10_000,
    naps=1_000,
    enqueue_full=1_000,
    enqueue_normal=3_000,
    enqueue_bulk=20_000,
    enqueue_threads=3_200,
    latencies=100,
    idle_seconds=5.0,
    imports=5,
    growth=(1_000, 100_000),
    growth_exchanges=20,
    growth_enqueues=100,
    retention=100_000,
)

# For the test of the benchmarks themselves: the figures mean nothing.
TINY = Sizes(
    repeat=1,
    drain=300,
    naps=20,
    enqueue_full=40,
    enqueue_normal=40,
    enqueue_bulk=2_000,
    enqueue_threads=320,
    latencies=5,
    idle_seconds=0.2,
    imports=1,
    growth=(100, 1_000),
    growth_exchanges=2,
    growth_enqueues=5,
    retention=2_000,
)
