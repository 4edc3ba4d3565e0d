"""Run claimed jobs: one loop that settles and claims, and executors that call the functions."""
