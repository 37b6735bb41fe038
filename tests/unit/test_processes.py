"""Children that end with us, however early we end."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

# The parent ends at once; the child asks to be ended with it only when it is gone.
ORPHAN = """
import os, time
from actors.processes import dying_with_us
us, before_exec = os.getpid(), dying_with_us()
if child := os.fork():
    print(child, flush=True)
    os._exit(0)
while os.getppid() == us:
    time.sleep(0.01)
before_exec()
time.sleep(600)
"""
# The child asks, and its parent is killed between that and exec; it has a handler of SIGTERM.
BEFORE_EXEC = """
import os, signal, subprocess, sys, time
from actors.processes import dying_with_us
signal.signal(signal.SIGTERM, lambda *_: None)
before_exec = dying_with_us()
def slow():
    before_exec()
    print(os.getpid(), flush=True)
    time.sleep(1.5)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], preexec_fn=slow)
"""


@pytest.mark.parametrize("parent", [ORPHAN, BEFORE_EXEC], ids=["before it asked", "before exec"])
def test_a_child_whose_parent_ends_early_ends_too(parent: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        process.send_signal(signal.SIGKILL)
        process.wait()
        ends = time.monotonic() + 30
        while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < ends
            time.sleep(0.02)
    finally:
        if psutil.pid_exists(child):
            os.kill(child, signal.SIGKILL)
