"""What rules on lists of people or vehicles share: the lawful basis, without which they search nothing."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, field_validator

from hoaban.shapes import Strict

Words = Annotated[str, Field(min_length=1, max_length=400)]


class LawfulBasis(Strict):
    """Why a list may be searched here. Stated by the authority that answers for it, and copied into every event."""

    law: Words = Field(description="the law and the article")
    authority: Words = Field(description="who ordered it")
    document: Words = Field(description="number of the order or decision")
    valid_until: AwareDatetime = Field(description="when it ends, with a zone: 2027-06-30T23:59:59+07:00")

    @field_validator("valid_until", mode="before")
    @classmethod
    def _has_a_zone(cls, value: Any) -> Any:
        plain = isinstance(value, date) and not (isinstance(value, datetime) and value.tzinfo)
        if plain or (isinstance(value, str) and len(value) <= len("2027-06-30")):
            raise ValueError(f"{value} has no hour and zone; write it as 2027-06-30T23:59:59+07:00")
        return value


def why_silent(
    basis: LawfulBasis, watchlists: Sequence[str], ends_s: Mapping[str, float] | None, law_s: float
) -> str | None:
    """Why a rule may search nothing at a time, or has nothing to search for; None when it may.

    ends_s: watchlist -> when its last entry is over; None before a list was handed out.
    """
    if law_s > basis.valid_until.timestamp():
        ended = basis.valid_until.isoformat()
        return f"the lawful basis {basis.document!r} ended {ended}; renew it in the fleet file"
    if ends_s is None:
        return "no watchlist was handed out to this camera yet"
    if all(ends_s.get(name, 0.0) <= law_s for name in watchlists):
        return f"no approved entry in {', '.join(watchlists)}"
    return None
