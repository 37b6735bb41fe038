"""A settings file of ours from disk, or all that is wrong with it, each with its line."""

import os
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Settings = TypeVar("Settings", bound=BaseModel)


class SettingsFileError(ValueError):
    """What is wrong with a file: FILE:LINE: path: what; what to do."""


def load_settings(path: Path, kind: type[Settings], page: str, secret: tuple[str, ...] = ()) -> Settings:
    """The settings in a file. page: of the documentation, named in errors. secret: the path of a value that comes from
    the environment, as ${NAME}. Raises SettingsFileError."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsFileError(f"{path}:1: cannot be read: {error.strerror}; check the name and the rights") from None
    except UnicodeDecodeError:
        raise SettingsFileError(f"{path}:1: not UTF-8 text; save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise SettingsFileError(f"{path}:{line}: not YAML: {getattr(error, 'problem', error)}; correct it") from None
    if secret:
        _take_secret(path, node, document, secret)
    try:
        return kind.model_validate({} if document is None else document)
    except ValidationError as invalid:
        lines = []
        for problem in invalid.errors(include_input=False, include_url=False):
            where = ".".join(map(str, problem["loc"]))
            words = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{path}:{_line(node, problem['loc'])}: {where}: {words}; see {page}")
        raise SettingsFileError("\n".join(lines)) from None


def _take_secret(path: Path, node: Any, document: Any, where: tuple[str, ...]) -> None:
    """Put a secret in its place, from the environment: it stands in no file."""
    holds = document
    for step in where[:-1]:
        holds = holds.get(step) if isinstance(holds, dict) else None
    if not isinstance(holds, dict) or holds.get(where[-1]) is None:
        return
    at = f"{path}:{_line(node, where)}: {'.'.join(where)}"
    named = re.fullmatch(r"\$\{(\w+)\}", str(holds[where[-1]]))
    if named is None:
        raise SettingsFileError(f"{at}: a secret stands in no file; write ${{NAME}}, and set NAME for `hoaban up`")
    if not os.environ.get(named[1]):
        raise SettingsFileError(f"{at}: {named[1]} is not set; set it in the environment")
    holds[where[-1]] = os.environ[named[1]]


def _line(node: Any, where: tuple[int | str, ...]) -> int:
    """The line of a path, or of the nearest thing around it that the file has."""
    line = node.start_mark.line + 1 if node is not None else 1
    for step in where:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == step), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            return line
    return line
