"""A camera whose source changes again and again, to good streams and bad ones: memory, threads and files stay as few.

HOABAN_SOURCE_CHANGES says how many changes (`make faults`: a thousand).
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from actors.processes import free_port
from actors.rtsp_server import RtspServer
from tests.misbehaving import Gate, SilentServer, video

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(1800)]

CHANGES = int(os.environ.get("HOABAN_SOURCE_CHANGES", "100"))
MOST_GROWTH_MIB = 16.0
MOST_MORE = 3
"""threads, files: those of a stream that is being left just then"""


def test_a_thousand_changes_of_the_source_cost_no_memory_no_thread_and_no_file(tmp_path: Path) -> None:
    short = {"g": "10", "x264-params": "repeat-headers=1"}
    for name, size in (("one", (160, 120)), ("two", (320, 240))):
        video(tmp_path / f"{name}.mp4", 3000, size, rate=50, options=short)
    server = RtspServer(tmp_path)
    server.start()
    try:
        with Gate(server.port) as gate, SilentServer() as silent:
            stream = gate.url("one.mp4/play_count_0")
            steps = [
                f"good {stream}",
                "cut here",
                f"good {tmp_path / 'two.mp4'}",
                f"bad rtsp://127.0.0.1:{silent.port}/silent",
                f"good {stream}?again",
                "cut here",
                f"bad rtsp://127.0.0.1:{free_port()}/nobody",
                "good sim://yard?size=160x90&fps=30",
                f"bad {tmp_path / 'absent.mp4'}",
                f"good {tmp_path / 'one.mp4'}",
            ]
            command = [sys.executable, "-m", "tests.faults.changing_source", str(CHANGES), *steps]
            rounds = []
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    if line == "cut\n":
                        gate.cut()
                    elif line.startswith("{"):
                        rounds.append(json.loads(line))
            assert process.returncode == 0
    finally:
        server.stop()
    assert rounds[-1]["change"] == CHANGES
    third = max(1, len(rounds) // 3)
    early, late = rounds[third : 2 * third], rounds[-third:]
    mean = {name: [statistics.mean(one[name] for one in part) for part in (early, late)] for name in rounds[0]}
    print(f"{CHANGES} changes; first round {rounds[0]}; means of the second and the last third {mean}")
    assert mean["mib"][1] - mean["mib"][0] < MOST_GROWTH_MIB
    for name in ("threads", "files"):
        assert max(one[name] for one in late) <= max(one[name] for one in early) + MOST_MORE, rounds
