"""The key of the watchlist: from HOABAN_WATCHLIST_KEY, or a file in the data folder that only its owner can read."""

import base64
import binascii
import hmac
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENV = "HOABAN_WATCHLIST_KEY"
FILE = "watchlist.key"
_BYTES, _NONCE = 32, 12


class KeyMissingError(Exception):
    """The watchlist cannot be read or written; the message says why and what to do."""


class WatchlistKey:
    """AES-256-GCM with a random nonce before each ciphertext. `purpose` is bound in: a ciphertext opens only for it."""

    def __init__(self, secret: bytes) -> None:
        self._cipher, self._secret = AESGCM(secret), secret

    @classmethod
    def load(cls, data_dir: Path | None) -> "WatchlistKey":
        """The key that is there. Raises KeyMissingError."""
        if text := os.environ.get(ENV):
            return cls(_parse(text, ENV))
        path = None if data_dir is None else data_dir / FILE
        if path is None or not path.is_file():
            raise KeyMissingError(f"no watchlist key: set {ENV} to 32 random bytes as base64, the same on every node")
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise KeyMissingError(f"{path}: others may read it (mode {mode:o}); run chmod 600 {path}")
        return cls(_parse(path.read_text(encoding="ascii", errors="replace"), str(path)))

    @classmethod
    def load_or_make(cls, data_dir: Path | None) -> "WatchlistKey":
        """The key that is there, else a new one in the data folder. Raises KeyMissingError."""
        if not os.environ.get(ENV) and data_dir is not None and not (data_dir / FILE).exists():
            _make(data_dir / FILE)
        return cls.load(data_dir)

    def digest(self, text: str, purpose: str) -> str:
        """HMAC-SHA256, 32 hex digits: tells two texts apart, and nothing of either to who has no key."""
        message = f"hoaban {purpose}\0{text}".encode()
        return hmac.digest(self._secret, message, "sha256").hex()[:32]

    def seal(self, plain: bytes, purpose: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Raises KeyMissingError for another key, another purpose or altered bytes."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], purpose.encode())
        except (InvalidTag, ValueError):
            raise KeyMissingError(
                f"{purpose}: not sealed with this key, or altered; use the key that the entries were enrolled with"
            ) from None


def _parse(text: str, where: str) -> bytes:
    try:
        secret = base64.urlsafe_b64decode(text.strip().replace("+", "-").replace("/", "_"))
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != _BYTES:
        raise KeyMissingError(
            f"{where}: {_BYTES} bytes as base64 are expected; make one with `openssl rand -base64 32`"
        )
    return secret


def _make(path: Path) -> None:
    """Whole or not at all, even when two processes begin at once: the second finds the first one's file."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink()
