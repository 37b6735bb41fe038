"""Cameras that answered a search of the network: what they say of themselves, and how they stand in a fleet file.

What a device says is not believed: its addresses are asked only where they lie in a private network, and what is put
into a fleet file is quoted by who writes the YAML. Scopes: ONVIF Core Specification, 7.3.3.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

SCOPE = "onvif://www.onvif.org/"
MOST_LENGTH = 120
"""of a name that a device gives itself"""
ANY_ROLE = "shared"


@dataclass(frozen=True, slots=True)
class Found:
    """A device that answered. address: its IP address. service: where it is asked, "" when nowhere that is allowed."""

    address: str
    service: str
    name: str
    profiles: tuple[str, ...]
    """of ONVIF: Streaming, G, T, M"""


@dataclass(frozen=True, slots=True)
class Stream:
    """A media profile, as the device names it, and its address without user and password."""

    profile: str
    source: str
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a device told when it was asked. why: in words, why it did not."""

    maker: str = ""
    model: str = ""
    firmware: str = ""
    streams: tuple[Stream, ...] = ()
    why: str = ""


def found(addresses: Sequence[str], scopes: Iterable[str]) -> Found | None:
    """A device by its answer to a probe: the addresses and scopes that it names. None when it names no address."""
    told: dict[str, list[str]] = {}
    for scope in scopes:
        if scope.startswith(SCOPE):
            kind, _, value = scope.removeprefix(SCOPE).partition("/")
            told.setdefault(kind.lower(), []).append(plain(unquote(value)))
    hosts = [(host, address) for address in addresses if (host := _host(address))]
    if not hosts:
        return None
    allowed = [(host, address) for host, address in hosts if _private(host)]
    host, service = allowed[0] if allowed else (hosts[0][0], "")
    name = next(iter(told.get("name", ())), "") or host
    return Found(host, service, name, tuple(dict.fromkeys(told.get("profile", ()))))


def plain(text: str) -> str:
    """Text of a device on one line, without control characters, and no longer than a name may be."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MOST_LENGTH]


def without_user(source: str) -> str:
    """The address of a stream without user and password: some devices write theirs into it."""
    parts = urlsplit(source)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def fleet_entry(one: Found, stream: Stream | None, *, signs_in: bool) -> dict[str, Any]:
    """The camera as a fleet file's `cameras` has it; role, district and owner are for a person to set.

    signs_in: its stream wants user and password, which the file takes from the environment.
    """
    id_ = camera_id(one)
    source = stream.source if stream is not None else f"rtsp://{one.address}/"
    if signs_in:
        env = id_.upper().replace("-", "_")
        parts = urlsplit(source)
        source = parts._replace(netloc=f"${{{env}_USER}}:${{{env}_PASSWORD}}@{parts.netloc}").geturl()
    return {"id": id_, "name": one.name, "role": ANY_ROLE, "district": "", "owner": "", "source": source}


def camera_id(one: Found) -> str:
    """An id of the fleet file's form, from the device's name and the end of its address."""
    name = re.sub(r"[^a-z0-9]+", "-", one.name.lower()).strip("-")[:40] or "camera"
    end = re.sub(r"[^a-z0-9]+", "-", one.address.lower()).strip("-").rpartition("-")[2]
    return name if name.endswith(f"-{end}") else f"{name}-{end}"


def _host(address: str) -> str:
    try:
        parts = urlsplit(address)
        return (parts.hostname or "") if parts.scheme in ("http", "https") and parts.port != 0 else ""
    except ValueError:
        return ""


def _private(host: str) -> bool:
    """Whether it is an address of a network of one's own: a name, or a public address, may lead anywhere."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_private
    except ValueError:
        return False
