"""One camera's zones and lines changed in the text of a fleet file; every other character stays, comments too."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml


class CannotEditError(ValueError):
    """The text is written so that it cannot be changed in this one place; the message says why, and what to do."""


@dataclass(slots=True)
class _Node:
    """A node as it is written: text[start:end]. pairs: of a mapping; items: of a list."""

    start: int
    end: int
    event: yaml.NodeEvent
    pairs: list[tuple["_Node", "_Node"]] = field(default_factory=list)
    items: list["_Node"] = field(default_factory=list)

    @property
    def flow(self) -> bool:
        return bool(getattr(self.event, "flow_style", False))

    @property
    def anchor(self) -> str:
        return self.event.anchor or ""

    def all(self) -> Iterator["_Node"]:
        yield self
        for child in [*self.items, *(part for pair in self.pairs for part in pair)]:
            yield from child.all()

    def get(self, key: str) -> tuple["_Node", "_Node"] | None:
        return next((pair for pair in self.pairs if getattr(pair[0].event, "value", None) == key), None)


def has_camera(text: str, camera: str) -> bool:
    """Whether a file's text lists a camera. Raises yaml.YAMLError."""
    return _camera(_tree(text), camera) is not None


def with_shapes(text: str, camera: str, zones: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]]) -> str:
    """The text with a camera's zones and lines replaced. zones, lines: as the fleet file has them (shapes.Zone, Line).

    Raises CannotEditError, yaml.YAMLError, KeyError for a camera that the text does not list.
    """
    before = yaml.safe_load(text)
    for key, value in (("zones", list(zones)), ("lines", list(lines))):
        tree = _tree(text)
        found = _camera(tree, camera)
        if found is None:
            raise KeyError(camera)
        text = _replaced(text, tree, found, key, value)
    wanted = next(one for one in before["cameras"] if one["id"] == camera)
    wanted |= {key: list(value) for key, value in (("zones", zones), ("lines", lines)) if value or key in wanted}
    after = yaml.safe_load(text)
    if _plain(after) != _plain(before | {"cameras": [wanted if c["id"] == camera else c for c in before["cameras"]]}):
        raise CannotEditError("the file is written in a way that this edit would break; change it by hand")
    return text


def _replaced(text: str, tree: _Node, camera: _Node, key: str, value: list[dict[str, Any]]) -> str:
    written = _flow(value)
    pair = camera.get(key)
    if pair is not None:
        name, old = pair
        inside = {node.anchor for node in old.all() if not isinstance(node.event, yaml.AliasEvent)} - {""}
        outside = [n for n in tree.all() if isinstance(n.event, yaml.AliasEvent) and not old.start <= n.start < old.end]
        if shared := sorted(inside & {node.anchor for node in outside}):
            raise CannotEditError(
                f"other cameras take their {key} from this one (&{shared[0]}); write theirs out in the file first"
            )
        return f"{text[: name.end]}: {written}{text[old.end :]}"
    if not value:
        return text
    name, id = camera.get("id") or (camera, camera)
    if camera.flow:
        return f"{text[: id.end]}, {key}: {written}{text[id.end :]}"
    line_end = text.find("\n", id.end)
    line_end = len(text) if line_end < 0 else line_end
    indent = " " * (name.start - (text.rfind("\n", 0, name.start) + 1))
    return f"{text[:line_end]}\n{indent}{key}: {written}{text[line_end:]}"


def _flow(value: list[dict[str, Any]]) -> str:
    return f"[{', '.join('{' + ', '.join(f'{k}: {_scalar(v)}' for k, v in one.items()) + '}' for one in value)}]"


def _scalar(value: Any) -> str:
    """An id, a number or lists of numbers; quoted where YAML would take the word for something else."""
    if isinstance(value, str):
        return value if yaml.safe_load(value) == value else json.dumps(value)
    return json.dumps(value)


def _plain(value: Any) -> Any:
    """Lists for tuples, and so on: as JSON has it."""
    return json.loads(json.dumps(value, default=str))


def _camera(tree: _Node, camera: str) -> _Node | None:
    listed = tree.get("cameras")
    for one in listed[1].items if listed else ():
        pair = one.get("id")
        if pair is not None and getattr(pair[1].event, "value", None) == camera:
            return one
    return None


def _tree(text: str) -> _Node:
    events = iter(yaml.parse(text, yaml.SafeLoader))
    for event in events:
        if isinstance(event, yaml.NodeEvent):
            return _node(event, events)
    raise CannotEditError("the file is empty")


def _node(event: yaml.NodeEvent, events: Iterator[Any]) -> _Node:
    node = _Node(_index(event.start_mark), _index(event.end_mark), event)
    last: Any = event
    if isinstance(event, yaml.MappingStartEvent):
        while not isinstance(last := next(events), yaml.MappingEndEvent):
            key = _node(last, events)
            node.pairs.append((key, _node(next(events), events)))
    elif isinstance(event, yaml.SequenceStartEvent):
        while not isinstance(last := next(events), yaml.SequenceEndEvent):
            node.items.append(_node(last, events))
    # The end of a block is told only after the comments behind it, which are not its own.
    inner = [*node.items, *(value for _, value in node.pairs)]
    node.end = _index(last.end_mark) if node.flow else max([node.end, *(child.end for child in inner)])
    return node


def _index(mark: Any) -> int:
    return int(mark.index)
