"""From the text of fleet files to a fleet, or to all that is wrong with them, each with file, line, path and cure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pydantic import ValidationError

from hoaban.fleet import Fleet
from hoaban.fleet_checks import KNOWN_LABELS, Labels, misfits
from hoaban.fleet_yaml import FleetYaml, Path
from hoaban.rules import RULE_KINDS
from hoaban.source_address import ENV, SourceAddress, redact

LIST_KEYS = ("districts", "agencies", "sites", "cameras")
MOST_ERRORS = 200
YES_NO = "YAML reads yes, no, on and off as true and false: write a number, or put a text in quotes"


@dataclass(frozen=True, slots=True)
class FleetError:
    """One thing wrong in a fleet file. message ends with what to do."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.path + ': ' if self.path else ''}{self.message}"


class FleetErrors(ValueError):  # noqa: N818  (many errors, not one)
    """All that is wrong with the fleet files, at most MOST_ERRORS and a last one that counts the others."""

    def __init__(self, errors: Sequence[FleetError]) -> None:
        found = sorted(errors, key=lambda error: (error.file, error.line))
        self.errors = found[:MOST_ERRORS]
        if left := found[MOST_ERRORS:]:
            rest = f"{len(left)} more from here on are not shown; mend these first"
            self.errors.append(FleetError(left[0].file, left[0].line, "", rest))
        super().__init__("\n".join(str(error) for error in self.errors))


def parse_fleet(texts: Sequence[tuple[str, str]], env: Mapping[str, str], labels: Labels = KNOWN_LABELS) -> Fleet:
    """The fleet in one or several files, given as (name, text).

    The lists of several files are joined; any other key stands in one of them. `${NAME}` in a text value is taken
    from `env`, and is a secret in a camera's source alone; a relative file source is relative to its fleet file.
    labels: what each known model finds, by its name. Raises FleetErrors with everything wrong at once.
    """
    reading = _Reading(texts[0][0] if texts else "fleet")
    for name, text in texts:
        reading.add(name, text)
    if reading.errors and not reading.document:
        raise FleetErrors(reading.errors)
    filled = reading.filled(env)
    fleet: Fleet | None = None
    try:
        fleet = Fleet.model_validate(filled)
    except ValidationError as invalid:
        for problem in invalid.errors():
            reading.explain(problem, filled)
    for path, message in misfits(filled, labels):
        reading.tell(path, message)
    if reading.errors or fleet is None:
        raise FleetErrors(reading.errors)
    return fleet.with_defaults()


def env_names(texts: Iterable[str]) -> set[str]:
    """The environment variables that fleet files name."""
    return {name for text in texts for name in ENV.findall(text)}


class _Reading:
    """The files read so far: their joined document as written, the file and line of each path, and what is wrong."""

    def __init__(self, name: str) -> None:
        self.document: dict[str, Any] = {}
        self.errors: list[FleetError] = []
        self._marks: dict[Path, tuple[str, int]] = {(): (name, 1)}

    def add(self, name: str, text: str) -> None:
        """Join a file: its lists go on those of the files before it."""

        def tell(line: int, path: Path, message: str) -> None:
            self.errors.append(FleetError(name, line, _text(path), message))

        file = FleetYaml(tell)
        moved: dict[str, int] = {}
        for key, value in (file.read(text) or {}).items():
            held = self.document.get(key)
            if key in self.document and key in LIST_KEYS and isinstance(value, list) and isinstance(held, list):
                moved[key] = len(held)
                self.document[key] = held + value
            elif key in self.document and (key != "version" or held != value):
                tell(file.lines[(key,)], (key,), f"stands in {self._marks[(key,)][0]} too; keep one")
            else:
                moved[key] = 0
                self.document[key] = value
        for path, line in file.lines.items():
            if path and (start := moved.get(str(path[0]))) is not None:
                shifted = (path[0], path[1] + start, *path[2:]) if len(path) > 1 and isinstance(path[1], int) else path
                self._marks.setdefault(shifted, (name, line))

    def tell(self, path: Path, message: str) -> None:
        file, line = self._mark(path)
        self.errors.append(FleetError(file, line, _text(path), message))

    def filled(self, env: Mapping[str, str]) -> Any:
        """The document with environment names filled in, and sources as addresses that keep their secrets."""
        return self._filled(self.document, (), env)

    def _filled(self, value: Any, path: Path, env: Mapping[str, str]) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(item, (*path, key), env) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item, (*path, index), env) for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        for name in ENV.findall(value):
            if name not in env:
                self.tell(path, f"environment variable {name} is not set; set it before the start")
        if _is_source(path):
            return SourceAddress(value, env, str(PurePath(self._mark(path)[0]).parent))
        return ENV.sub(lambda match: env.get(match[1], ""), value)

    def explain(self, problem: Any, filled: Any) -> None:
        """Tell one of pydantic's errors in words, with the value as it is written in the file."""
        path = _own_path(tuple(problem["loc"]), filled)
        here = _at(filled, path)
        context = problem.get("ctx", {})
        match problem["type"]:
            case "extra_forbidden":
                message = "unknown key; remove it or correct its spelling (`hoaban schema` lists the keys)"
            case "missing":
                message = "is missing; add it"
            case "value_error":
                message = str(context["error"])
            case "union_tag_invalid":
                message = _wrong_rule(str(context.get("tag")))
            case "union_tag_not_found":
                message = f"type is missing; add one of {', '.join(RULE_KINDS)}"
            case "enum" | "literal_error":
                message = f"{self._written(path) or 'this'} is not allowed; use {context['expected']}"
            case _:
                written = self._written(path)
                shown = f" (here: {written})" if written else ""
                cure = YES_NO if isinstance(_at(self.document, path), bool) else "correct it"
                message = f"{problem['msg'][:1].lower()}{problem['msg'][1:]}{shown}; {cure}"
        self.tell(path, here.hide(message) if isinstance(here, SourceAddress) else message)

    def _written(self, path: Path) -> str:
        """What stands at a path, short and without secrets; "" for what has parts, or is a source."""
        value = _at(self.document, path, {})
        return "" if isinstance(value, dict | list) or _is_source(path) else redact(repr(value))[:80]

    def _mark(self, path: Path) -> tuple[str, int]:
        while path and path not in self._marks:
            path = path[:-1]
        return self._marks[path]


def _is_source(path: Path) -> bool:
    return len(path) == 3 and path[0] == "cameras" and path[2] == "source"


def _wrong_rule(tag: str) -> str:
    return f"{tag!r} is no rule type; use one of {', '.join(RULE_KINDS)}"


def _own_path(raw: Path, document: Any) -> Path:
    """pydantic's path without the names of union members, which the file does not contain."""
    path: list[str | int] = []
    value = document
    for index, step in enumerate(raw):
        if isinstance(value, dict) and step not in value and index < len(raw) - 1:
            continue
        path.append(step)
        value = _at(value, (step,))
    return tuple(path)


def _at(document: Any, path: Path, otherwise: Any = None) -> Any:
    """What stands at a path of plain values."""
    for step in path:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return otherwise
    return document


def _text(path: Path) -> str:
    """cameras[3].zones[0].polygon"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_plain(step)}" for step in path).lstrip(".")


def _plain(key: str) -> str:
    """A key, which may be any text, on one line."""
    return key[:60] if key.isprintable() else repr(key[:60])
