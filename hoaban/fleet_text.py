"""From the text of fleet files to a fleet, or to all that is wrong with them, each with file, line, path and cure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import yaml
from pydantic import ValidationError

from hoaban.fleet import Fleet
from hoaban.fleet_checks import Path, misfits
from hoaban.rules import RULE_KINDS

LIST_KEYS = ("districts", "agencies", "cameras")
_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_USER_INFO = re.compile(r"(?<=://)[^\s'\"]+@")
_SECRET_VALUE = re.compile(r"(?i)((?:password|passwd|pass|pwd|token|secret|auth|key)=)[^&\s'\"]+")
MOST_DEPTH = 50


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
    """All that is wrong with the fleet files."""

    def __init__(self, errors: Sequence[FleetError]) -> None:
        self.errors = sorted(errors, key=lambda error: (error.file, error.line))
        super().__init__("\n".join(str(error) for error in self.errors))


def redact(text: str) -> str:
    """The text without the user and password of any URL in it, nor passwords among a URL's parameters.

    A password may hold "/" or "@" that should have been percent-encoded: all up to the last "@" goes.
    """
    return _SECRET_VALUE.sub(r"\1***", _USER_INFO.sub("***@", text))


def parse_fleet(texts: Sequence[tuple[str, str]], env: Mapping[str, str]) -> Fleet:
    """The fleet in one or several files, given as (name, text).

    The lists of several files are joined; any other key stands in one of them. `${NAME}` in a text value is taken
    from `env`; a relative file source is relative to its fleet file. Raises FleetErrors with everything wrong at once.
    """
    errors: list[FleetError] = []
    merged: dict[str, Any] = {}
    marks: dict[Path, tuple[str, int]] = {(): (texts[0][0] if texts else "fleet", 1)}
    for name, text in texts:
        document = _Document(name, errors)
        content = document.read(text)
        if content is None:
            continue
        for key, value in content.items():
            _merge(merged, marks, document, key, value, errors)
    if errors and not merged:
        raise FleetErrors(errors)
    resolved = _resolve(merged, (), marks, env, errors)
    fleet: Fleet | None = None
    try:
        fleet = Fleet.model_validate(resolved)
    except ValidationError as invalid:
        errors += [_explain(problem, marks, resolved) for problem in invalid.errors()]
    errors += [_at(path, message, marks) for path, message in misfits(resolved)]
    if errors or fleet is None:
        raise FleetErrors(errors)
    return fleet.with_defaults()


class _Document:
    """One file's YAML as plain values, with the line of every path."""

    def __init__(self, name: str, errors: list[FleetError]) -> None:
        self.name, self._errors = name, errors
        self.lines: dict[Path, int] = {}

    def read(self, text: str) -> dict[str, Any] | None:
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self._loader = yaml.SafeLoader("")
            value = None if node is None else self._value(node, ())
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            self._fail(mark.line + 1 if mark else 1, "", f"not YAML: {problem}; correct it")
            return None
        except (ValueError, RecursionError) as error:
            self._fail(1, "", f"not readable: {error}; correct it")
            return None
        if not isinstance(value, dict):
            self._fail(1, "", "a mapping with version, province and cameras is expected; see `hoaban schema`")
            return None
        return value

    def _fail(self, line: int, path: str, message: str) -> None:
        self._errors.append(FleetError(self.name, line, path, message))

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self.lines[path] = node.start_mark.line + 1
        if len(path) > MOST_DEPTH:
            raise ValueError(f"nested more than {MOST_DEPTH} deep, or an alias of itself")
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return self._loader.construct_object(node)
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in mapping:
                self._fail(line, _text((*path, key)), "given twice; remove one")
                continue
            mapping[key] = self._value(value_node, (*path, key))
            self.lines[(*path, key)] = line
        return mapping


def _merge(
    merged: dict[str, Any],
    marks: dict[Path, tuple[str, int]],
    document: _Document,
    key: str,
    value: Any,
    errors: list[FleetError],
) -> None:
    start = 0
    if key in merged and key in LIST_KEYS and isinstance(value, list) and isinstance(merged[key], list):
        start = len(merged[key])
        merged[key] = merged[key] + value
    elif key in merged and (key != "version" or merged[key] != value):
        errors.append(
            FleetError(document.name, document.lines[(key,)], key, f"stands in {marks[(key,)][0]} too; keep one")
        )
        return
    else:
        merged[key] = value
    for path, line in document.lines.items():
        if path[:1] == (key,):
            moved = (key, path[1] + start, *path[2:]) if len(path) > 1 and isinstance(path[1], int) else path
            marks.setdefault(moved, (document.name, line))


def _resolve(
    value: Any, path: Path, marks: dict[Path, tuple[str, int]], env: Mapping[str, str], errors: list[FleetError]
) -> Any:
    """Environment names filled in, and file sources made relative to their fleet file."""
    if isinstance(value, dict):
        return {key: _resolve(item, (*path, key), marks, env, errors) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, (*path, index), marks, env, errors) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in _ENV.findall(value):
        if name not in env:
            errors.append(_at(path, f"environment variable {name} is not set; set it before the start", marks))
    filled = _ENV.sub(lambda match: env.get(match[1], ""), value)
    is_source = len(path) == 3 and path[0] == "cameras" and path[2] == "source"
    if is_source and filled and "://" not in filled:
        return str(PurePath(_mark(path, marks)[0]).parent / filled)
    return filled


def _explain(problem: Any, marks: dict[Path, tuple[str, int]], document: Any) -> FleetError:
    kind, raw = problem["type"], tuple(problem["loc"])
    path = _own_path(raw, document)
    context = problem.get("ctx", {})
    match kind:
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
            message = f"{problem['input']!r} is not allowed; use {context['expected']}"
        case _:
            shown = (
                "" if isinstance(problem["input"], dict | list) else f" (here: {redact(repr(problem['input']))[:80]})"
            )
            message = f"{problem['msg'][:1].lower()}{problem['msg'][1:]}{shown}; correct it"
    return _at(path, message, marks)


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
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = None
    return tuple(path)


def _mark(path: Path, marks: dict[Path, tuple[str, int]]) -> tuple[str, int]:
    while path and path not in marks:
        path = path[:-1]
    return marks[path]


def _at(path: Path, message: str, marks: dict[Path, tuple[str, int]]) -> FleetError:
    file, line = _mark(path, marks)
    return FleetError(file, line, _text(path), message)


def _text(path: Path) -> str:
    """cameras[3].zones[0].polygon"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
