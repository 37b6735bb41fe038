"""One fleet file's YAML as plain values with the line of each, its size bounded before any work is done on it.

YAML lets a few lines stand for billions of values (aliases of aliases) and nest without end. Every limit here is far
above what a province's fleet needs, and all work after it is in proportion to what it lets through.
"""

from collections.abc import Callable
from typing import Any

import yaml

Path = tuple[str | int, ...]
Tell = Callable[[int, Path, str], None]

MOST_CHARACTERS = 2**21
MOST_DEPTH = 50
MOST_VALUES = 200_000
"""values of a file, those that aliases repeat counted each time; a camera with its rules has about a hundred"""
MOST_SCALAR = 8192
"""characters of a single value"""


class _RefusedError(Exception):
    """The file is not read any further."""

    def __init__(self, line: int, message: str) -> None:
        self.line, self.message = line, message
        super().__init__(message)


class FleetYaml:
    """A file's plain values and the line, from 1, of every path in it."""

    def __init__(
        self, tell: Tell, holds: str = "version, province and cameras is expected; see `hoaban schema`"
    ) -> None:
        """tell: takes line, path and message of each thing wrong. holds: what its mapping should hold, in words."""
        self.lines: dict[Path, int] = {}
        self._holds = holds
        self._tell = tell
        self._values = 0

    def read(self, text: str) -> dict[str, Any] | None:
        """The file's mapping; None, with what is wrong told, where it holds none."""
        try:
            value = self._read(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            self._tell(mark.line + 1 if mark else 1, (), f"not YAML: {problem}; correct it")
            return None
        except _RefusedError as refused:
            self._tell(refused.line, (), refused.message)
            return None
        if not isinstance(value, dict):
            self._tell(1, (), f"a mapping with {self._holds}")
            return None
        return value

    def _read(self, text: str) -> Any:
        if len(text) > MOST_CHARACTERS:
            raise _RefusedError(
                1, f"{len(text)} characters, {MOST_CHARACTERS} are most; split the fleet into several files"
            )
        self._loader = _Bounded(text)
        try:
            node = self._loader.get_single_node()
            return None if node is None else self._value(node, ())
        finally:
            self._loader.dispose()

    def _value(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines[path] = line
        self._values += 1
        if len(path) > MOST_DEPTH:
            raise _RefusedError(line, f"nested more than {MOST_DEPTH} deep, or an alias of itself; correct it")
        if self._values > MOST_VALUES:
            raise _RefusedError(
                line, f"more than {MOST_VALUES} values, repeated ones counted; remove aliases or split the fleet"
            )
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        return self._scalar(node, path, line)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._tell(line, path, "a key that is a list or mapping; write a plain word")
                continue
            key = str(key_node.value)
            if key in mapping:
                self._tell(line, (*path, key), "given twice; remove one")
                continue
            mapping[key] = self._value(value_node, (*path, key))
            self.lines[(*path, key)] = line
        return mapping

    def _scalar(self, node: yaml.Node, path: Path, line: int) -> Any:
        if len(node.value) > MOST_SCALAR:
            raise _RefusedError(line, f"a value of {len(node.value)} characters, {MOST_SCALAR} are most; shorten it")
        try:
            return self._loader.construct_object(node)
        except ValueError as error:  # the 31st of June, a number of 5000 digits
            self._tell(line, path, f"{error}; correct it, or quote it where it is a text")
            return None


class _Bounded(yaml.SafeLoader):
    """Refuses depth before the parser recurses into it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise _RefusedError(line, f"nested more than {MOST_DEPTH} deep; correct it")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1
