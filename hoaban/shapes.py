"""What a fleet file draws on a camera's picture: fractions of its width (x, right) and height (y, down)."""

from functools import cache
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="small letters, digits, - and _")]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Point = tuple[Fraction, Fraction]
LEAST_AREA = 1e-6
"""of a polygon, in pictures"""
MOST_CORNERS = 200
"""that a polygon crosses nowhere is looked for between every two of its edges"""


class Strict(BaseModel):
    """A part of the fleet file: unknown keys are errors, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _yes_is_no_number(cls, values: Any) -> Any:
        """pydantic takes true for 1, and YAML takes yes and on for true: no number is ever meant by them."""
        if not isinstance(values, dict):
            return values
        numbers = {name for name in cls._no_bools() if _has_bool(values.get(name))}
        return values | {name: _without_bools(values[name]) for name in numbers} if numbers else values

    @classmethod
    @cache
    def _no_bools(cls) -> frozenset[str]:
        """The keys under which no true or false may stand."""
        fields = cls.model_fields.items()
        return frozenset(field.alias or name for name, field in fields if not _takes_bool(field.annotation))


class _NoNumber:
    """Stands where true or false stood, so that whatever type is wanted there refuses it."""


def _has_bool(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_has_bool, value)))


def _without_bools(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_bools(item) for item in value]
    return _NoNumber() if isinstance(value, bool) else value


def _takes_bool(annotation: Any) -> bool:
    return annotation in (bool, Any) or any(map(_takes_bool, get_args(annotation)))


def _simple(polygon: tuple[Point, ...]) -> tuple[Point, ...]:
    if _meets_itself(polygon):
        raise ValueError("the polygon crosses itself or touches itself; list its corners in order around it")
    if _area(polygon) < LEAST_AREA:
        raise ValueError("the polygon has no area; give at least three corners that do not lie on one line")
    return polygon


Polygon = Annotated[tuple[Point, ...], Field(min_length=3, max_length=MOST_CORNERS), AfterValidator(_simple)]
"""corners in order, as fractions of the picture's width (right) and height (down)"""


class Zone(Strict):
    """A polygon on the picture."""

    id: Id
    polygon: Polygon


class Line(Strict):
    """A line on the picture from A to B. `forward` crosses from A->B's left to its right, as seen in the picture."""

    id: Id
    from_: Point = Field(alias="from")
    to: Point

    @model_validator(mode="after")
    def _has_length(self) -> "Line":
        if self.from_ == self.to:
            raise ValueError("the line has no length; its ends must differ")
        return self


def _area(polygon: tuple[Point, ...]) -> float:
    """Shoelace formula, in squares of the picture."""
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)) / 2


def _meets_itself(polygon: tuple[Point, ...]) -> bool:
    """Whether two edges that are no neighbours have a point in common. Corners given twice in a row are one."""
    corners = [corner for corner, before in zip(polygon, (polygon[-1], *polygon), strict=False) if corner != before]
    edges = list(zip(corners, corners[1:] + corners[:1], strict=True))
    count = len(edges)
    return any(
        _segments_meet(*edges[i], *edges[j])
        for i in range(count)
        for j in range(i + 2, count)
        if not (i == 0 and j == count - 1)
    )


def _segments_meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments ab and cd have a point in common, by the sides that each one's ends are on of the other."""

    def side(p: Point, q: Point, r: Point) -> int:
        turn = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
        return (turn > 0) - (turn < 0)

    if any(max(p[k], q[k]) < min(r[k], s[k]) for k in (0, 1) for p, q, r, s in ((a, b, c, d), (c, d, a, b))):
        return False
    return side(a, b, c) * side(a, b, d) <= 0 and side(c, d, a) * side(c, d, b) <= 0
