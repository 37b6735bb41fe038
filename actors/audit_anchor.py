"""The anchor: the newest audit record's number and digest, signed, in a file beside the database and not in it.

Who can change the database, and not this file and its key, cannot hide a change nor cut records off the end, but for
those of the last seconds before it was written. A copy kept on another machine guards against who can change both.
"""

import base64
import json
import os
import threading
import time
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from actors.store.audit import AuditStore

log = structlog.get_logger(__name__)
KEY, ANCHOR = "audit.key", "audit-anchor.json"
EVERY_S = 5.0


class AnchorError(Exception):
    """The anchor cannot be read, or is not ours; the message says why."""


class Anchor:
    """The anchor of one audit chain, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._key, self.path = folder / KEY, folder / ANCHOR

    def write(self, seq: int, digest: str) -> None:
        """Sign and keep the newest record's place. Raises OSError, AnchorError for a key that is none."""
        body = {"seq": seq, "digest": digest, "at_s": round(time.time(), 3)}
        signature = self._private().sign(_bytes(body))
        text = json.dumps(body | {"signature": base64.b64encode(signature).decode()})
        _replace(self.path, text)

    def read(self, path: Path | None = None) -> tuple[int, str]:
        """(seq, digest) as signed, of this anchor or of a copy of it kept elsewhere. Raises AnchorError."""
        path = path or self.path
        try:
            body = json.loads(path.read_text())
            signature = base64.b64decode(body.pop("signature"), validate=True)
            self._public().verify(signature, _bytes(body))
            return int(body["seq"]), str(body["digest"])
        except OSError as error:
            raise AnchorError(f"{path}: cannot be read: {error.strerror}") from None
        except InvalidSignature:
            raise AnchorError(f"{path}: was not signed with {self._key}: it was changed, or is another's") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise AnchorError(f"{path}: is no anchor") from None

    def _private(self) -> Ed25519PrivateKey:
        if not self._key.exists():
            _replace(self._key, base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode())
        try:
            return Ed25519PrivateKey.from_private_bytes(base64.b64decode(self._key.read_text(), validate=True))
        except ValueError:
            raise AnchorError(f"{self._key}: is no key; move it away, and the anchors signed with it") from None

    def _public(self) -> Ed25519PublicKey:
        if not self._key.exists():
            raise AnchorError(f"{self._key}: the key is gone, so no anchor can be checked")
        return self._private().public_key()


def keep_anchored(store: AuditStore, anchor: Anchor) -> threading.Thread:
    """Write the anchor whenever the chain has grown, from a thread of its own."""

    def keep() -> None:
        anchored = 0
        while True:
            try:
                seq, digest = store.head()
                if seq > anchored:
                    anchor.write(seq, digest)
                    anchored = seq
            except Exception as error:  # a store or a disk that is away: looked at again
                log.warning("audit chain not anchored", reason=str(error).splitlines()[0])
            time.sleep(EVERY_S)

    thread = threading.Thread(target=keep, name="audit-anchor", daemon=True)
    thread.start()
    return thread


def _bytes(body: dict[str, object]) -> bytes:
    return json.dumps({"hoaban": "audit anchor", **body}, sort_keys=True, separators=(",", ":")).encode()


def _replace(path: Path, text: str) -> None:
    """Whole or not at all, and only for this user's eyes."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
