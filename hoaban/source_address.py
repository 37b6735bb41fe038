"""Where a camera's pictures come from: an address that keeps its secrets to itself.

A password is part of an RTSP address, so the address is a type: whatever prints, logs, dumps or hashes it gets the form
without secrets, and who opens the stream asks for the whole of it by name (`reveal`).
"""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import quote, unquote

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from hoaban.sim.address import parse_address

SCHEMES = ("rtsp", "rtsps", "http", "https", "file", "sim")
ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
MOST_LENGTH = 4096
HIDDEN = "***"
LEAST_HIDDEN = 3
"""a shorter secret is not looked for in a message: it would be found in every word"""
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_USER_INFO = re.compile(r"(?<=://)[^\s'\"]+@")
_PARAMETER = re.compile(r"(?i)((?:password|passwd|pass|pwd|token|secret|auth|key)=)([^&\s'\"]+)")


class SourceAddress:
    """An rtsp(s)://, http(s):// or sim:// address, or the path of a file.

    `str()`, `repr()` and JSON give `shown`: user and password of the address are hidden, so are parameters that are
    named like a secret, and each `${NAME}` stands as it was written. Two addresses are equal when all of them is,
    secrets too.
    """

    __slots__ = ("_hidden", "_whole", "shown")

    def __init__(self, text: str, env: Mapping[str, str] | None = None, folder: str = "") -> None:
        """text: as written; each ${NAME} in it is a secret out of `env`, "" where it is not there.

        folder: what a relative path starts from. The scheme is not judged here (see `check`).
        """
        env = {} if env is None else env
        secrets = {env.get(name, "") for name in ENV.findall(text)}
        whole = _lower_scheme(ENV.sub(lambda match: env.get(match[1], ""), text))
        self.shown = redact(_lower_scheme(text))
        if folder and whole and "://" not in whole and not PurePath(whole).is_absolute():
            whole, self.shown = (str(PurePath(folder) / path) for path in (whole, self.shown))
        if "://" in whole:
            secrets |= _written_out(whole)
        self._whole = whole
        self._hidden = tuple(sorted(_spellings(secrets), key=len, reverse=True))

    @classmethod
    def of(cls, source: "SourceAddress | str") -> "SourceAddress":
        return source if isinstance(source, SourceAddress) else cls(source)

    def reveal(self) -> str:
        """The whole address, for opening it and for nothing else."""
        return self._whole

    @property
    def scheme(self) -> str:
        """In small letters; "" for a path."""
        return self._whole.partition("://")[0] if "://" in self._whole else ""

    @property
    def simulated(self) -> bool:
        return self.scheme == "sim"

    @property
    def is_file(self) -> bool:
        """A path or a file:// address."""
        return self.scheme in ("", "file")

    def hide(self, text: str) -> str:
        """A message about the source, from whomever, without its secrets."""
        text = text.replace(self._whole, self.shown) if self._whole else text
        for secret in self._hidden:
            text = text.replace(secret, HIDDEN)
        return redact(text)

    def check(self) -> None:
        """Raises ValueError for what no camera can be read from."""
        if not self._whole or self._whole.isspace():
            raise ValueError("it is empty; give an address or a file")
        if len(self._whole) > MOST_LENGTH or not self._whole.isprintable():
            raise ValueError(f"it is longer than {MOST_LENGTH} characters or holds control characters; correct it")
        if match := _SCHEME.match(self._whole):
            if match[1] not in SCHEMES:
                raise ValueError(f"{match[1]}:// is not supported; use one of {', '.join(SCHEMES)}, or a file path")
            if self.simulated:
                parse_address(self._whole)

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"SourceAddress({self.shown!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceAddress) and (self._whole, self.shown) == (other._whole, other.shown)

    def __hash__(self) -> int:
        return hash(self._whole)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        shown = core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        return core_schema.no_info_plain_validator_function(_validate, serialization=shown)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "minLength": 1}


def redact(text: str) -> str:
    """The text without the user and password of any URL in it, nor passwords among a URL's parameters.

    For what is not known as a SourceAddress. A password may hold "/" or "@" that should have been percent-encoded: all
    up to the last "@" goes.
    """
    return _PARAMETER.sub(rf"\1{HIDDEN}", _USER_INFO.sub(f"{HIDDEN}@", text))


def _validate(value: Any) -> SourceAddress:
    if not isinstance(value, SourceAddress | str):
        raise PydanticCustomError("string_type", "Input should be a valid string")
    address = SourceAddress.of(value)
    address.check()
    return address


def _lower_scheme(text: str) -> str:
    """FFmpeg knows no RTSP://."""
    return _SCHEME.sub(lambda match: match[0].lower(), text)


def _written_out(address: str) -> set[str]:
    """What is secret in an address that has its secrets in the clear: user, password, parameters named like one.

    Pieces of them too: a library may take a password with "@" or "/" apart in another way than its owner.
    """
    found = {match[2] for match in _PARAMETER.finditer(address)}
    for match in _USER_INFO.finditer(address):
        found |= {match[0][:-1], match[0][:-1].partition(":")[2], *re.split("[:@/]", match[0])}
    return found


def _spellings(secrets: set[str]) -> set[str]:
    """Libraries may quote a part of an address percent-encoded, or without that."""
    spelt = {form for secret in secrets for form in (secret, quote(secret, safe=""), unquote(secret))}
    return {form for form in spelt if len(form) >= LEAST_HIDDEN}
