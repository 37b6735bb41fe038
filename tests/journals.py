"""What cameras said, read from their journals: the files are linked as they appear, and outlive their deletion."""

import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path

from hoaban.events import Event


@dataclass
class Journals:
    """All that the cameras' journals ever held."""

    spools: Path
    kept: Path
    stop: threading.Event = field(default_factory=threading.Event)

    def follow(self) -> None:
        """Link each file that appears; one stays for seconds at least, until what it holds is settled."""
        while not self.stop.wait(0.1):
            for path in self.spools.glob("*/*/*.jsonl"):
                with contextlib.suppress(OSError):
                    (self.kept / "~".join(path.relative_to(self.spools).parts)).hardlink_to(path)

    def by_spool(self) -> dict[str, dict[str, Event]]:
        """Spool -> by id, in their order: what was written so far, whole lines."""
        found: dict[str, dict[str, Event]] = {}
        for path in sorted(self.kept.iterdir()):
            lines = path.read_text().splitlines(keepends=True)
            events = [Event.from_json(line) for line in lines if line.endswith("\n")]
            found.setdefault(path.name.split("~")[0], {}).update({event.id: event for event in events})
        return found

    def said(self) -> dict[str, Event]:
        """By id: all of it."""
        return {name: event for events in self.by_spool().values() for name, event in events.items()}
