"""One driver for each system, all with the same few functions.

A driver is imported by the process that enqueues and looks, and by the worker's own command. Both find in
`place.here()` where the queue is. It has

- `prepare()`: make what the system needs in an empty store;
- `enqueue(arguments)`: one call of the system's own for each job, one after the other; returns the ids;
- `enqueue_bulk(arguments)`: the same by the system's own call for many jobs, where it has one;
- `commands(processes)`: the command lines of so many worker processes;
- `waiting()`: how many jobs the store has that have not ended, those that run included;
- `finished()`: how many jobs the store knows as done, or how many results it holds;
- `results(ids)`: what each job returned, in this order, or None where the system stores no results.
"""

from __future__ import annotations
