"""The terms on which an owner shares a camera: when, for what, with whom, and for how long."""

from collections.abc import Collection
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from hoaban.access import Role
from hoaban.schedule import Hours, Schedule
from hoaban.shapes import Strict

TOKEN_ROLES = tuple(role.value for role in Role)
"""roles a person can have; terms may name them as viewers"""
ALWAYS_ALLOWED = ("camera_health",)
"""rule types that look after the camera itself, not after what it shows"""
MODEL_TRIALS = "model_trials"
"""no rule: candidates are shown its pictures, and where they differ from its model the picture is kept, faces hidden"""


class Terms(Strict):
    """What the owner of a shared camera allows. What is left out is not limited."""

    hours: tuple[Hours, ...] = Field((), description="the stream is opened within these hours only; none: always")
    analytics: tuple[str, ...] | None = Field(
        None, description=f"types of rules that may run; {MODEL_TRIALS}: candidates may be tried"
    )
    viewers: tuple[str, ...] | None = Field(None, description="roles or agencies that may see pictures")
    retention_days: Annotated[int, Field(ge=1)] | None = Field(None, description="its events are purged after so long")

    def allows(self, rule_type: str) -> bool:
        """Whether rules of this type may run."""
        return self.analytics is None or rule_type in (*self.analytics, *ALWAYS_ALLOWED)

    def shows_to(self, roles: Collection[str], agency: str | None, owner: str) -> bool:
        """Whether a person with these roles may see pictures. The owner's own people always may."""
        if self.viewers is None or any(role in self.viewers for role in roles):
            return True
        return agency is not None and agency in (owner, *self.viewers)


class OpenHours:
    """Whether a shared camera is open now."""

    def __init__(self, terms: Terms | None, timezone: ZoneInfo) -> None:
        self._schedule = Schedule(terms.hours if terms else (), timezone)

    def closed(self, now_s: float) -> str | None:
        """Why nothing may be taken from the camera now; None within its hours."""
        return None if self._schedule.awake(now_s) else "outside the hours its owner shares it; it opens by itself"
