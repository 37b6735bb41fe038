"""The roles and what each may: the whole table, deny by default, no role part of another."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """What a person is trusted with. One person may hold several, each in a scope of its own."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OFFICER = "officer"
    WATCHLIST_APPROVER = "watchlist_approver"
    DATA_SCIENTIST = "data_scientist"
    ADMIN = "admin"
    AUDITOR = "auditor"
    INTAKE = "intake"
    """a machine's: the page or switchboard by which citizens file reports, and which may do nothing else"""


class Permission(StrEnum):
    """One thing to do, "thing.act"."""

    CAMERA_SEE = "camera.see"
    """the blurred picture, status, counts and events"""
    PICTURE_UNMASK = "picture.unmask"
    INCIDENT_SEE = "incident.see"
    INCIDENT_HANDLE = "incident.handle"
    REPORT_FILE = "report.file"
    REPORT_SEE = "report.see"
    """without personal data"""
    REPORT_HANDLE = "report.handle"
    WORKORDER_HANDLE = "workorder.handle"
    EVIDENCE_SEE = "evidence.see"
    """blurred"""
    EVIDENCE_DECIDE = "evidence.decide"
    EVIDENCE_EXPORT = "evidence.export"
    WATCHLIST_SEE = "watchlist.see"
    WATCHLIST_PROPOSE = "watchlist.propose"
    WATCHLIST_APPROVE = "watchlist.approve"
    MODEL_SEE = "model.see"
    MODEL_CHANGE = "model.change"
    FLEET_SEE = "fleet.see"
    FLEET_CHANGE = "fleet.change"
    SIGNAL_TELL = "signal.tell"
    ACCOUNT_CHANGE = "account.change"
    AUDIT_READ = "audit.read"
    RETENTION_CHANGE = "retention.change"
    HOLD_CHANGE = "hold.change"
    SUBJECT_ANSWER = "subject.answer"
    METRICS_READ = "metrics.read"


P = Permission
GRANTS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({P.CAMERA_SEE, P.INCIDENT_SEE, P.REPORT_SEE, P.MODEL_SEE, P.FLEET_SEE}),
        Role.OPERATOR: frozenset(
            {
                P.CAMERA_SEE,
                P.INCIDENT_SEE,
                P.INCIDENT_HANDLE,
                P.REPORT_FILE,
                P.REPORT_SEE,
                P.REPORT_HANDLE,
                P.WORKORDER_HANDLE,
                P.EVIDENCE_SEE,
                P.MODEL_SEE,
                P.FLEET_SEE,
                P.METRICS_READ,
            }
        ),
        Role.OFFICER: frozenset(
            {
                P.CAMERA_SEE,
                P.PICTURE_UNMASK,
                P.INCIDENT_SEE,
                P.INCIDENT_HANDLE,
                P.REPORT_FILE,
                P.REPORT_SEE,
                P.REPORT_HANDLE,
                P.EVIDENCE_SEE,
                P.EVIDENCE_DECIDE,
                P.EVIDENCE_EXPORT,
                P.WATCHLIST_SEE,
                P.WATCHLIST_PROPOSE,
                P.HOLD_CHANGE,
                P.SUBJECT_ANSWER,
                P.MODEL_SEE,
                P.FLEET_SEE,
            }
        ),
        Role.WATCHLIST_APPROVER: frozenset({P.WATCHLIST_SEE, P.WATCHLIST_APPROVE}),
        Role.DATA_SCIENTIST: frozenset({P.CAMERA_SEE, P.MODEL_SEE, P.MODEL_CHANGE, P.FLEET_SEE, P.METRICS_READ}),
        Role.ADMIN: frozenset(
            {
                P.CAMERA_SEE,
                P.MODEL_SEE,
                P.MODEL_CHANGE,
                P.FLEET_SEE,
                P.FLEET_CHANGE,
                P.SIGNAL_TELL,
                P.ACCOUNT_CHANGE,
                P.RETENTION_CHANGE,
                P.METRICS_READ,
            }
        ),
        Role.INTAKE: frozenset({P.REPORT_FILE}),
        Role.AUDITOR: frozenset({P.AUDIT_READ, P.FLEET_SEE, P.MODEL_SEE, P.WATCHLIST_SEE}),
    }
)

TWO_PEOPLE = frozenset({Role.OFFICER, Role.WATCHLIST_APPROVER, Role.AUDITOR, Role.ADMIN})
"""roles that one admin proposes and another confirms: by these alone an admin could make puppets who see, decide,
approve and audit for them"""

PROVINCE_WIDE = frozenset(
    {
        P.WATCHLIST_SEE,
        P.WATCHLIST_PROPOSE,
        P.WATCHLIST_APPROVE,
        P.MODEL_CHANGE,
        P.FLEET_CHANGE,
        P.ACCOUNT_CHANGE,
        P.AUDIT_READ,
        P.RETENTION_CHANGE,
        P.HOLD_CHANGE,
        P.SUBJECT_ANSWER,
    }
)
"""acts that touch the whole province: a grant limited to some districts, agencies or cameras does not give them, so a
signal's controller may hold an admin's grant for its one camera and change no account with it"""
