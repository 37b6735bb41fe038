"""What a fleet file draws on a camera's picture: fractions of its width (x, right) and height (y, down)."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="small letters, digits, - and _")]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Point = tuple[Fraction, Fraction]


class Strict(BaseModel):
    """A part of the fleet file: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


def _simple(polygon: tuple[Point, ...]) -> tuple[Point, ...]:
    if _area(polygon) < 1e-6:
        raise ValueError("the polygon has no area; give at least three corners that do not lie on one line")
    if _crosses_itself(polygon):
        raise ValueError("the polygon crosses itself; list its corners in order around it")
    return polygon


Polygon = Annotated[tuple[Point, ...], Field(min_length=3), AfterValidator(_simple)]
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


def _crosses_itself(polygon: tuple[Point, ...]) -> bool:
    edges = list(zip(polygon, polygon[1:] + polygon[:1], strict=True))
    count = len(edges)
    return any(
        _segments_cross(*edges[i], *edges[j])
        for i in range(count)
        for j in range(i + 2, count)
        if not (i == 0 and j == count - 1)
    )


def _segments_cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
