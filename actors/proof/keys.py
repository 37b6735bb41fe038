"""The key that seals evidence: HOABAN_EVIDENCE_KEY, or a file in the data folder that only its owner can read.

Public keys, the one in use and those from before a rotation, lie beside it: what they signed stays verifiable.
"""

import os
import secrets
import stat
from pathlib import Path

from hoaban.evidence.signing import Signer, SigningKeyError, Trusted

ENV = "HOABAN_EVIDENCE_KEY"
FOLDER, PRIVATE, PUBLIC = "evidence-keys", "private.pem", "public"


class Keys:
    """The keys of one system. data_dir: its data folder."""

    def __init__(self, data_dir: str | Path) -> None:
        self._folder = Path(data_dir) / FOLDER

    def signer(self) -> Signer:
        """The key in use, made when there is none; its public part is kept. Raises SigningKeyError."""
        if text := os.environ.get(ENV):
            signer = _load(text.encode(), ENV)
        else:
            path = self._folder / PRIVATE
            if not path.exists():
                self._place(path, Signer.make().private_pem())
            if mode := stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise SigningKeyError(f"{path}: others may read it (mode …{mode:o}); run chmod 600 {path}")
            signer = _load(path.read_bytes(), str(path))
        public = self._folder / PUBLIC / f"{signer.id}.pem"
        if not public.exists():
            self._place(public, signer.public_pem(), 0o644)
        return signer

    def rotate(self) -> Signer:
        """Seal with a new key from now on; the old public key stays. Raises SigningKeyError."""
        if os.environ.get(ENV):
            raise SigningKeyError(f"the key comes from {ENV}: put the new one there; the old public key stays here")
        self.signer()
        path = self._folder / PRIVATE
        part = path.with_name(f".{PRIVATE}.{secrets.token_hex(4)}")
        _write(part, Signer.make().private_pem(), 0o600)
        part.replace(path)
        _sync(path.parent)
        return self.signer()

    def public(self) -> dict[str, bytes]:
        """key id -> PEM; none before the first start."""
        folder = self._folder / PUBLIC
        return read_public(folder) if folder.is_dir() else {}

    def trusted(self) -> Trusted:
        return Trusted(self.public().values())

    def _place(self, path: Path, data: bytes, mode: int = 0o600) -> None:
        """Whole or not at all; of two processes that begin at once the second finds the first one's file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        _write(part, data, mode)
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        finally:
            part.unlink()
        _sync(path.parent)


def read_public(path: Path) -> dict[str, bytes]:
    """name -> PEM of a file, or of all *.pem in a folder. Raises OSError."""
    if path.is_dir():
        return {file.stem: file.read_bytes() for file in sorted(path.glob("[!.]*.pem"))}
    return {path.stem: path.read_bytes()}


def _load(pem: bytes, where: str) -> Signer:
    try:
        return Signer.from_pem(pem)
    except SigningKeyError as error:
        raise SigningKeyError(f"{where}: {error}") from None


def _write(path: Path, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
