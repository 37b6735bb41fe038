"""Ed25519 (RFC 8032) over a manifest's bytes as they are: openssl can check a signature without this software."""

import hashlib
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)


class SigningKeyError(ValueError):
    """There is no usable key; the message says why and what to do."""


class Signer:
    """A private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.id = key_id(key.public_key())

    @classmethod
    def make(cls) -> "Signer":
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> "Signer":
        """Raises SigningKeyError."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise SigningKeyError(f"no private key in PEM: {error}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise SigningKeyError("the key is no Ed25519 key; make one with `openssl genpkey -algorithm ed25519`")
        return cls(key)

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(data)

    def private_pem(self) -> bytes:
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def public_pem(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Trusted:
    """The public keys that signatures are checked against, by their ids: those in use and those from before."""

    def __init__(self, pems: Iterable[bytes]) -> None:
        """Raises SigningKeyError."""
        self._keys: dict[str, Ed25519PublicKey] = {}
        for pem in pems:
            try:
                key = load_pem_public_key(pem)
            except ValueError as error:
                raise SigningKeyError(f"no public key in PEM: {error}") from None
            if not isinstance(key, Ed25519PublicKey):
                raise SigningKeyError("the key is no Ed25519 public key")
            self._keys[key_id(key)] = key

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self._keys)

    def signed(self, key: str, signature: bytes, data: bytes) -> bool:
        """Whether the key with this id signed the data. False too for a key that is not known here."""
        if key not in self._keys:
            return False
        try:
            self._keys[key].verify(signature, data)
        except InvalidSignature:
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """The first 128 bits of the sha256 of the key's 32 bytes."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:32]
