"""Times as requests may name them."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _reckonable(value: datetime) -> datetime:
    """With a zone, the first and last of what a datetime holds lie outside of what can be turned to UTC."""
    if not FIRST <= value < LAST:
        raise ValueError("the time must lie between 1970 and 2200")
    return value


Instant = Annotated[AwareDatetime, AfterValidator(_reckonable)]
