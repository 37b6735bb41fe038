"""Signed records of erasures in a file, apart from the database: after a restore from an older backup they say what
must not come back."""

import base64
import json
from collections.abc import Iterable
from pathlib import Path

from actors.store.erasures import Erasure
from hoaban.evidence.erasures import Record


def save(kept: Iterable[Erasure], path: Path) -> int:
    """Write the records, one a line; how many. Whole or not at all. Raises OSError."""
    lines = [
        {
            "number": one.number,
            "id": one.id,
            "manifest": base64.b64encode(one.manifest or b"").decode(),
            "signature": base64.b64encode(one.signature or b"").decode(),
        }
        for one in kept
    ]
    part = path.with_name(f".{path.name}.part")
    part.write_text("".join(json.dumps(line) + "\n" for line in lines))
    part.replace(path)
    return len(lines)


def load(path: Path) -> list[Record]:
    """Raises OSError, and ValueError that names the line."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            body = json.loads(line)
            manifest, signature = (base64.b64decode(body[name], validate=True) for name in ("manifest", "signature"))
            found.append(Record(int(body["number"]), str(body["id"]), manifest, signature))
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path}:{number}: no record of an erasure") from None
    return found
