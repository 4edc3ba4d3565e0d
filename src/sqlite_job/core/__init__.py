"""Hold the words and rules of the queue: pure Python, no I/O, no third party."""
