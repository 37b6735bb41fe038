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

from actors.proof.keys import Keys
from actors.store import RetentionStore
from actors.store.audit import AuditStore
from hoaban.audit import broken
from hoaban.evidence.erasures import Record, audit_cuts
from hoaban.evidence.signing import SigningKeyError, Trusted

log = structlog.get_logger(__name__)
KEY, ANCHOR = "audit.key", "audit-anchor.json"
EVERY_S = 5.0


class AnchorError(Exception):
    """The anchor cannot be read, or is not ours; the message says why."""


class Anchor:
    """The anchor of one audit chain, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._key, self.path = folder / KEY, folder / ANCHOR

    @property
    def begun(self) -> bool:
        """Whether there ever was an anchor here."""
        return self._key.exists() or self.path.exists()

    def write(self, seq: int, digest: str) -> None:
        """Sign and keep the newest record's place. Raises OSError, AnchorError for a key that is none."""
        body = {"seq": seq, "digest": digest, "at_s": round(time.time(), 3)}
        signature = self._private(make=True).sign(_bytes(body))
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

    def _private(self, make: bool = False) -> Ed25519PrivateKey:
        if make and not self._key.exists():
            _replace(self._key, base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode())
        try:
            return Ed25519PrivateKey.from_private_bytes(base64.b64decode(self._key.read_text(), validate=True))
        except FileNotFoundError:
            raise AnchorError(f"{self._key}: the key is gone, so no anchor can be checked") from None
        except ValueError:
            raise AnchorError(f"{self._key}: is no key; move it away, and the anchors signed with it") from None

    def _public(self) -> Ed25519PublicKey:
        return self._private().public_key()


def vouched_cuts(store: AuditStore, folder: Path) -> set[tuple[int, str]]:
    """The cuts of the chain's beginning that a record of an erasure names, signed with a key whose public part lies in
    a data folder: whoever can write the database alone can make none."""
    try:
        trusted = Keys(folder).trusted()
    except (OSError, SigningKeyError):
        trusted = Trusted([])
    kept = RetentionStore(store.engine).records("audit_days")
    return audit_cuts(
        (Record(one.number or 0, one.id, one.manifest or b"", one.signature or b"") for one in kept), trusted
    )


def advance(store: AuditStore, anchor: Anchor) -> None:
    """Move the anchor to the newest record, if all up to there follows from what was anchored.

    Raises AnchorError, and leaves the anchor where it is, when it does not, or when there is none: an anchor that
    followed a chain which was cut would hide just what it is there to show.
    """
    seq, digest = store.head()
    anchored = anchor.read()
    kept = store.record(anchored[0])
    if anchored[0] and (kept is None or kept.digest != anchored[1]):
        raise AnchorError(f"record {anchored[0]}, which was anchored, is gone or another; run hoaban audit verify")
    cut = store.cut()
    if cut is not None and cut not in vouched_cuts(store, anchor.path.parent):
        raise AnchorError(
            f"records up to {cut[0]} are gone, and no signed record vouches for it; run hoaban audit verify"
        )
    if wrong := broken(store.records(anchored[0]), after=anchored):
        raise AnchorError(f"{wrong[0]}; run hoaban audit verify")
    if seq > anchored[0]:
        anchor.write(seq, digest)


def begin(store: AuditStore, anchor: Anchor) -> None:
    """The first anchor, of an installation that begins: its database holds nothing at all yet, and the folder neither.

    Of any other the anchor is made by `hoaban audit anchor` alone, by someone who says why. Raises OSError.
    """
    if not anchor.begun and store.nothing_yet():
        anchor.write(*store.head())


def keep_anchored(store: AuditStore, anchor: Anchor) -> threading.Thread:
    """Move the anchor on as the chain grows, from a thread of its own."""

    def keep() -> None:
        told = ""
        while True:
            try:
                advance(store, anchor)
                told = ""
            except AnchorError as error:
                if str(error) != told:
                    log.error("the audit chain is not what was anchored", reason=str(error))
                told = str(error)
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
