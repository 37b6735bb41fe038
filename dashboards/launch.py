"""How the dashboard is started."""

import sys
from pathlib import Path

COLOURS = {
    "light": {
        "primaryColor": "#8e2a6d",
        "backgroundColor": "#ffffff",
        "secondaryBackgroundColor": "#f3f4f7",
        "textColor": "#1b2430",
    },
    "dark": {
        "primaryColor": "#e08cc3",
        "backgroundColor": "#0e131a",
        "secondaryBackgroundColor": "#18202a",
        "textColor": "#e6ebf2",
    },
}
"""of the flower's petals, on calm grounds; each text at least 4.5 to 1"""


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
        "--runner.magicEnabled=false",  # else a string that says what a constant is stands on the page
        *(f"--theme.{mode}.{name}={colour}" for mode, colours in COLOURS.items() for name, colour in colours.items()),
    ]
