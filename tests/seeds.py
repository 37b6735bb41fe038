"""How often what is killed at random moments is killed: a little in each run, much more with `make faults`."""

import os

SEEDS = range(1, 1 + int(os.environ.get("HOABAN_KILL_RUNS", "1")))
