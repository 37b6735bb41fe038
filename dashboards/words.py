"""The dashboard's words. English is in the code; other languages are gettext catalogues in locale/.

After a change of a .po file: msgfmt -o hoaban.mo hoaban.po beside it.
"""

import gettext
import os
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

LANGUAGES = {"vi": "Tiếng Việt", "en": "English"}
LOCALE = Path(__file__).parent / "locale"

TERMS = {
    # states of a camera
    "live": "live",
    "connecting": "connecting",
    "stalled": "no new picture",
    "not_analysed": "not analysed",
    "failed": "failed",
    "ended": "ended",
    "paused": "outside its hours",
    "silent": "no report",
    "off": "switched off",
    # what rules find
    "line_count": "crossed",
    "intrusion": "entered",
    "loitering": "loiters in",
    "crowd": "crowd in",
    "crowd_grow": "crowd grows in",
    "crowd_end": "crowd over in",
    "line_crossing": "crossed the watched line",
    "abandoned_object": "left behind in",
    "abandoned_object_end": "no longer left behind in",
    "removed_object": "something was taken from",
    "removed_object_end": "what was taken is back in",
    "congestion": "traffic in",
    "red_light": "may have run the red light at",
    "stop_line": "may stand beyond the stop line",
    "wrong_way": "may go the wrong way",
    "illegal_turn": "may have turned where it is forbidden",
    "illegal_parking": "may be parked where it is forbidden, in",
    "face_watchlist": "face to be compared by an officer, in",
    "plate_watchlist": "plate to be compared by an officer, in",
    "camera_health": "camera:",
    "camera_health_end": "camera again in order:",
    "turning_count": "turned to",
    # faults of a camera; stalled and silent are among its states
    "offline": "offline",
    "frozen": "picture frozen",
    "dark": "picture dark",
    "blurred": "picture blurred",
    "covered": "lens covered",
    "moved": "turned or shifted",
    "late": "its events come late",
    "wrong_time": "wrong time",
    # levels of traffic
    "free": "free",
    "slow": "slow",
    "congested": "congested",
    "jam": "jam",
    # directions of a line
    "forward": "forward",
    "backward": "backward",
    # roles
    "traffic_enforcement": "Traffic enforcement",
    "traffic_counting": "Traffic counting",
    "overview": "Overview",
    "face_crowd": "Faces and crowds",
    "neighbourhood": "Neighbourhood",
    "shared": "Shared camera",
    # how bad
    "critical": "critical",
    "high": "high",
    "medium": "medium",
    "low": "low",
    # states of incidents and reports
    "new": "new",
    "acknowledged": "acknowledged",
    "assigned": "assigned",
    "in_progress": "in progress",
    "resolved": "resolved",
    "dismissed": "dismissed",
    "received": "received",
    "checked": "checked",
    "answered": "answered",
    "closed": "closed",
    "order_open": "to be repaired",
    "order_in_progress": "in repair",
    "order_to_check": "to be checked",
    "order_done": "done",
    "order_cancelled": "cancelled",
    # why it was no incident
    "false_alarm": "false alarm",
    "not_an_incident": "nothing to act on",
    "duplicate": "seen twice",
    "test": "a test",
    "camera_fault": "fault of the camera",
    "other": "something else",
    # what was done
    "did_opened": "Opened.",
    "did_joined": "More was seen.",
    "did_escalated": "Nobody acknowledged it in time.",
    "did_resolve_proposed": "Nothing more was seen.",
    "did_acknowledge": "Acknowledged.",
    "did_assign": "Assigned.",
    "did_start": "Begun.",
    "did_grade": "Severity changed.",
    "did_resolve": "Resolved.",
    "did_dismiss": "Dismissed.",
    "did_reopen": "Reopened.",
    "did_comment": "Comment.",
    "did_report_linked": "A citizen's report was linked.",
    "did_report_erased": "A citizen's report was erased, its time is over.",
    "did_filed": "Filed.",
    "did_check": "Checked.",
    "did_answer": "Answered.",
    "did_close": "Closed.",
    "did_note": "Note.",
    "did_link": "Linked.",
    "did_fault_over": "The fault is over.",
    "did_fault_back": "The fault is back.",
    "did_done": "Works again.",
    "did_cancel": "Cancelled.",
    # kinds of incidents, as headings
    "kind_intrusion": "intrusion",
    "kind_loitering": "loitering",
    "kind_crowd": "crowd",
    "kind_line_crossing": "watched line crossed",
    "kind_abandoned_object": "object left behind",
    "kind_removed_object": "object taken",
    "kind_congestion": "congestion",
    "kind_wrong_way": "possible wrong-way driving",
    "kind_face_watchlist": "face to be compared by an officer",
    "kind_plate_watchlist": "plate to be compared by an officer",
    "kind_line_count": "crossings counted",
    "kind_turning_count": "turns counted",
    "kind_camera_health": "health of the camera",
    "kind_red_light": "red light",
    "kind_stop_line": "stop line",
    "kind_illegal_turn": "forbidden turn",
    "kind_illegal_parking": "forbidden parking",
    # classes
    "person": "person",
    "car": "car",
    "motorcycle": "motorcycle",
    "bicycle": "bicycle",
    "bus": "bus",
    "truck": "truck",
    # evidence: states, verdicts and reasons of a case
    "open": "to be decided",
    "confirmed": "confirmed",
    "rejected": "rejected",
    "damaged": "damaged",
    "erased": "erased",
    "seen_in_stills": "seen in the stills",
    "seen_in_clip": "seen in the clip",
    "no_violation": "no violation",
    "emergency_vehicle": "emergency vehicle",
    "directed_by_police": "directed by the police",
    "wrong_vehicle": "wrong vehicle",
    "plate_unreadable": "plate unreadable",
    "light_not_visible": "light not visible",
    "picture_unusable": "picture unusable",
    "equipment_fault": "fault of the equipment",
    # watchlists
    "waiting for approval": "waiting for approval",
    "active": "active",
    "expired": "expired",
    # models: probation and differences
    "on probation": "on probation",
    "kept": "kept",
    "rolled back": "rolled back",
    "only_primary": "only the present model saw",
    "only_candidate": "only the candidate saw",
    "class": "another class",
    "score": "another certainty",
    # actors
    "actor_camera": "cameras",
    "actor_evidence": "sealer of evidence",
    "actor_inference": "inference",
    "actor_keeper": "keeper of incidents",
    "actor_supervisor": "supervisor",
    "actor_writer": "writer",
    # stages of a frame's way
    "stage_decode": "decoded",
    "stage_send": "made ready",
    "stage_queue": "waits for a model",
    "stage_infer": "in the model",
    "stage_return": "on its way back",
    "stage_analyse": "tracks and rules",
    "stage_publish": "events to disk",
    # the record of who did what
    "audit_picture": "looked at pictures",
    "audit_unmask": "permits to unmask",
    "audit_event": "searched events",
    "audit_watchlist": "watchlists",
    "audit_evidence": "evidence",
    "audit_incident": "incidents",
    "audit_model": "models",
    "audit_account": "accounts",
    "audit_session": "signing in",
    "audit_counts": "counts taken away",
    "audit_audit": "read the record",
    "audit_hold": "holds",
    "outcome_begun": "begun",
    "outcome_done": "done",
    "outcome_refused": "refused",
    "outcome_failed": "failed",
    "misuse_many_looks": "many looks",
    "misuse_one_camera": "one camera over and over",
    "misuse_odd_hours": "at odd hours",
    "misuse_many_unmasked": "many unblurred looks",
    "misuse_own_neighbourhood": "where they live",
    "hold_evidence": "case",
    "hold_camera": "camera",
    # roles of people
    "role_viewer": "viewer",
    "role_operator": "operator",
    "role_officer": "officer",
    "role_watchlist_approver": "approver of watchlists",
    "role_data_scientist": "data scientist",
    "role_admin": "administrator",
    "role_auditor": "auditor",
    "role_intake": "intake of reports",
    "before": "before the line",
    "at": "at the line",
    "past": "past the line",
}


def language() -> str:
    """The language of this viewer."""
    chosen = st.session_state.get("language") or os.environ.get("HOABAN_LANG", "vi")
    return chosen if chosen in LANGUAGES else "vi"


def t(text: str, **values: Any) -> str:
    """English words in the viewer's language; what has no translation stays English."""
    said = _catalogue(language()).gettext(text)
    return said.format(**values) if values else said


def term(code: str | None) -> str:
    """The words for a word of the API: a state, rule, class, direction or role. An unknown one is shown as it is."""
    return "" if not code else t(TERMS.get(code, code))


def number(value: float, digits: int = 0) -> str:
    """A number with the language's separators."""
    text = f"{value:,.{digits}f}"
    return text.translate(str.maketrans(",.", ".,")) if language() == "vi" else text


def seconds(value: float) -> str:
    """A duration: 0.4 s, 12 s, 3 min, 5 h."""
    if value < 10:
        return f"{number(value, 1)} s"
    if value < 100:
        return f"{value:.0f} s"
    if value < 6000:
        return t("{n} min", n=f"{value / 60:.0f}")
    return t("{n} h", n=f"{value / 3600:.0f}")


@cache
def _catalogue(code: str) -> gettext.NullTranslations:
    return gettext.translation("hoaban", LOCALE, [code], fallback=True)
