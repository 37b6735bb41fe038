"""A settings file of ours from disk, or all that is wrong with it, each with its line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Settings = TypeVar("Settings", bound=BaseModel)


class SettingsFileError(ValueError):
    """What is wrong with a file: FILE:LINE: path: what; what to do."""


def load_settings(
    path: Path, kind: type[Settings], page: str, complete: Callable[[Path, Any, Any], None] | None = None
) -> Settings:
    """The settings in a file. Raises SettingsFileError.

    page: of the documentation, named in errors. complete: may put values into the document, of which it gets path, YAML
    node and plain values.
    """
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
    if complete is not None:
        complete(path, node, document)
    try:
        return kind.model_validate({} if document is None else document)
    except ValidationError as invalid:
        lines = []
        for problem in invalid.errors(include_input=False, include_url=False):
            where = ".".join(map(str, problem["loc"]))
            words = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{path}:{line_of(node, problem['loc'])}: {where}: {words}; see {page}")
        raise SettingsFileError("\n".join(lines)) from None


def line_of(node: Any, where: tuple[int | str, ...]) -> int:
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
