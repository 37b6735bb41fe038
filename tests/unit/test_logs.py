"""A log on a full disk is no reason for anything else to fail."""

import subprocess
import sys
from pathlib import Path

CODE = """
import resource, sys
from pathlib import Path
from actors.bus import EventBus
from actors.publisher import SpoolingPublisher
from tests.events import some_events
publisher = SpoolingPublisher(EventBus("redis://127.0.0.1:9/0"), Path(sys.argv[1]) / "spool")
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))  # no file grows any more, as on a full disk
publisher.publish(some_events(3))
print(publisher.spooled, publisher.error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
publisher.close()
"""


def test_events_outlive_a_disk_that_takes_neither_them_nor_the_log(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(tmp_path)], stdout=subprocess.PIPE, stderr=log, text=True, check=False
        )
    assert done.returncode == 0, (tmp_path / "log").read_text()
    assert done.stdout.startswith("3 3 events wait in memory only: [Errno 27]")


def test_a_log_whose_file_was_closed_fails_nothing() -> None:
    code = "import sys, structlog, actors; sys.stderr.close(); structlog.get_logger().warning('x'); print('went on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "went on\n")
