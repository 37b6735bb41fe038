"""Plate watchlist: a plate that fits an entry of a list of plates. Its decision is in hoaban/plate_watch.py."""

from typing import Annotated, Literal

from pydantic import Field

from hoaban.plates import SURE
from hoaban.rules.base import Classes, Rule, RuleConfig, Site, ZoneId
from hoaban.rules.lawful import LawfulBasis
from hoaban.shapes import Fraction, Id


class PlateWatchlistRule(RuleConfig):
    """The plate of a vehicle in a zone fits an entry of a watchlist, on pictures enough to propose it to an officer."""

    type: Literal["plate_watchlist"]
    zone: ZoneId = Field(description="where the vehicle stands or drives: near enough that its plate can be read")
    watchlist: Annotated[tuple[Id, ...], Field(min_length=1, description="names of the lists that are searched")]
    lawful_basis: LawfulBasis
    classes: Classes = ("car", "motorcycle", "bus", "truck")
    sure: float = Field(SURE, ge=SURE, lt=1, description="a character read with less confidence is unknown")
    most_unknown: int = Field(1, ge=0, le=2, description="so many unknown characters at most are left open")
    agree: int = Field(2, ge=1, le=20, description="pictures of one passage on which every known character was read")
    looks: int = Field(4, ge=1, le=20, description="pictures of one passage that are read; a hit ends it")
    every_s: float = Field(0.4, gt=0, description="between two of them")
    min_height: Fraction = Field(0.08, description="lower boxes are not read: a share of the picture's height")
    cooldown_s: float = Field(300.0, ge=0, description="the same entry is not proposed again sooner")

    def build(self, site: Site) -> Rule | None:
        """None: it looks at what was read, beside the frames, not at tracks."""
        return None
