"""RFC 3161 timestamps: a third party's word that a signature was there at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")


class StampError(ValueError):
    """A timestamp does not hold, or an authority gave none; the message says why."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a timestamp says. checked: against a root certificate; if not, it may be anybody's."""

    time: datetime
    policy: str
    serial: str
    checked: bool


def request(message: bytes) -> tuple[bytes, int]:
    """A request for a stamp over a message, and its nonce, which the answer must repeat."""
    made = TimestampRequestBuilder().data(message).hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True).build()
    return made.as_bytes(), int(made.nonce or 0)


def read(response: bytes, message: bytes, roots: Sequence[bytes] = (), nonce: int | None = None) -> Stamp:
    """What an authority's answer says of a message.

    roots: PEM, each with one or more certificates; without any the authority's signature is not checked, only that the
    stamp is over this message. Raises StampError.
    """
    try:
        answer = decode_timestamp_response(response)
        if PKIStatus(answer.status) not in (PKIStatus.GRANTED, PKIStatus.GRANTED_WITH_MODS):
            raise StampError(f"refused by the authority: {'; '.join(answer.status_string) or answer.status}")
        info = answer.tst_info
        imprint = info.message_imprint
        if imprint.hash_algorithm != SHA256 or bytes(imprint.message) != sha256(message).digest():
            raise StampError("it is over something else")
        if nonce is not None and info.nonce != nonce:
            raise StampError("it answers another request")
        certificates = [one for pem in roots for one in x509.load_pem_x509_certificates(pem)]
        if certificates:
            # The builder keeps what it was given first in a list that it shares with its copies: made anew each time.
            builder = VerifierBuilder(roots=certificates, nonce=nonce)
            builder.build().verify(answer, sha256(message).digest())
        return Stamp(info.gen_time, info.policy.dotted_string, str(info.serial_number), bool(certificates))
    except StampError:
        raise
    except (ValueError, TypeError, VerificationError, OverflowError) as error:
        raise StampError(str(error) or type(error).__name__) from None
