"""Face watchlist: a face that is like an entry of a watchlist. Its decision is in hoaban/faces/watch.py."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hoaban.rules.base import Rule, RuleConfig, Site, ZoneId
from hoaban.rules.lawful import LawfulBasis
from hoaban.shapes import Id


class FaceWatchlistRule(RuleConfig):
    """A face in a zone is like an entry of a watchlist, on frames enough to propose it to an officer."""

    roles: ClassVar[tuple[str, ...]] = ("face_crowd",)

    type: Literal["face_watchlist"]
    zone: ZoneId = Field(description="the middle of the face must lie in it")
    watchlist: Annotated[tuple[Id, ...], Field(min_length=1, description="names of the lists that are searched")]
    threshold: float = Field(
        gt=0, lt=1, description="least cosine similarity; choose it with `hoaban faces evaluate`, not by feeling"
    )
    lawful_basis: LawfulBasis
    agree: int = Field(3, ge=1, le=100, description="frames of one passage that must point at the same person")
    within_s: float = Field(6.0, gt=0, description="in how much time")
    cooldown_s: float = Field(
        60.0, ge=0, description="a person is proposed again only after not being seen for so long"
    )
    fps: float = Field(3.0, gt=0, le=30, description="frames a second that are searched for faces")

    def build(self, site: Site) -> Rule | None:
        """None: it looks at the face model's rows, not at tracks (hoaban/faces/pipeline.py)."""
        return None
