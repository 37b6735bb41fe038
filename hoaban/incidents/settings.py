"""How incidents, work orders and citizens' reports are handled: the fleet file's `incidents` block."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from hoaban.shapes import Strict

Minutes = Annotated[float, Field(gt=0, le=7 * 24 * 60)]
Hours = Annotated[float, Field(gt=0, le=365 * 24)]


class Severity(StrEnum):
    """How bad an incident or a fault is, the least first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


KINDS: Mapping[str, Severity] = MappingProxyType(
    {
        "abandoned_object": Severity.HIGH,
        "congestion": Severity.MEDIUM,
        "crowd": Severity.HIGH,
        "face_watchlist": Severity.CRITICAL,
        "intrusion": Severity.HIGH,
        "line_crossing": Severity.MEDIUM,
        "loitering": Severity.LOW,
        "removed_object": Severity.MEDIUM,
        "wrong_way": Severity.HIGH,
    }
)
"""Kinds of events that make incidents unless the fleet file says otherwise. Traffic violations are not among them: they
are candidates of evidence, which have a review of their own; nor is camera_health, which makes work orders."""

FAULTS: Mapping[str, Severity] = MappingProxyType(
    {
        "blurred": Severity.MEDIUM,
        "covered": Severity.HIGH,
        "dark": Severity.LOW,
        "frozen": Severity.HIGH,
        "moved": Severity.MEDIUM,
        "offline": Severity.HIGH,
        "silent": Severity.HIGH,
        "stalled": Severity.HIGH,
        "wrong_time": Severity.LOW,
    }
)


class Escalation(Strict):
    """Minutes for which an incident may wait for its acknowledgement."""

    critical: Minutes = 3
    high: Minutes = 10
    medium: Minutes = 30
    low: Minutes = 240

    def after_s(self, severity: Severity) -> float:
        return 60.0 * float(getattr(self, severity.value))


class Due(Strict):
    """Hours in which a fault should be repaired."""

    critical: Hours = 4
    high: Hours = 24
    medium: Hours = 72
    low: Hours = 168

    def after_s(self, severity: Severity) -> float:
        return 3600.0 * float(getattr(self, severity.value))


class WorkOrderSettings(Strict):
    """Maintenance of cameras, from their camera_health events."""

    faults: dict[str, Severity | Literal["none"]] = Field({}, description="fault: severity, or none for no work order")
    open_after_s: float = Field(180.0, ge=0, description="a fault that lasts so long opens a work order")
    check_after_s: float = Field(300.0, ge=0, description="a fault that is over for so long puts it to be checked")
    due_h: Due = Due()
    maintainers: dict[str, Annotated[str, Field(min_length=1, max_length=128)]] = Field(
        {}, description="district: who repairs its cameras"
    )

    def severity(self, fault: str) -> Severity | None:
        """How bad a fault is; None where it opens no work order. An unknown fault is of medium severity."""
        wanted = self.faults.get(fault, FAULTS.get(fault, Severity.MEDIUM))
        return None if wanted == "none" else Severity(wanted)


class ReportSettings(Strict):
    """Citizens' field reports."""

    per_hour: int = Field(10, ge=1, le=1000, description="reports that one address may file in an hour")
    most_per_hour: int = Field(300, ge=1, le=100_000, description="reports of all addresses together in an hour")
    photo_mib: float = Field(8.0, gt=0, le=32, description="largest photo")
    cameras_within_m: float = Field(500.0, gt=0, le=50_000, description="cameras that are proposed to the handler")
    events_around_s: float = Field(900.0, gt=0, le=86_400, description="before and after the time that is told")
    keep_days: int = Field(365, ge=1, description="after so long a closed report is erased")


class IncidentSettings(Strict):
    """Which events make incidents, which belong together, and when people are reminded."""

    kinds: dict[str, Severity | Literal["none"]] = Field(
        {}, description="kind of event: severity, or none for no incident; what is left out has its default"
    )
    join_within_s: float = Field(300.0, ge=0, description="events of one kind so close in time belong together")
    neighbour_m: float = Field(150.0, ge=0, description="so do those of other cameras that stand no farther away")
    escalate_min: Escalation = Escalation()
    quiet_min: Minutes = Field(15.0, description="without a further event it is proposed to resolve the incident")
    silent_min: Minutes = Field(
        15.0,
        description="what lasts at a camera that reports nothing for so long is taken to have ended, nobody saw when",
    )
    lasting_most_min: Minutes = Field(
        1440.0, description="so is what lasts and was not seen for so long: a restart may have lost its end"
    )
    work_orders: WorkOrderSettings = WorkOrderSettings()
    reports: ReportSettings = ReportSettings()

    def severity(self, kind: str) -> Severity | None:
        """How bad events of a kind are; None where they make no incident."""
        wanted = self.kinds.get(kind, KINDS.get(kind, "none"))
        return None if wanted == "none" else Severity(wanted)
