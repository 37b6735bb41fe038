"""How the dashboard is started."""

import sys
from pathlib import Path


def command(port: int, address: str = "127.0.0.1") -> list[str]:
    """The command line of the dashboard's server."""
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(Path(__file__).with_name("app.py")),
        f"--server.port={port}",
        f"--server.address={address}",
        "--server.headless=true",
        "--server.fileWatcherType=none",
        "--browser.gatherUsageStats=false",
        "--client.toolbarMode=minimal",
        "--client.showErrorDetails=none",
    ]
