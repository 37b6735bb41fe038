"""How well this machine's clock is kept, by the word of its kernel: no network is asked."""

import ctypes
import sys
from typing import Any

STA_UNSYNC = 0x40
TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """The beginning of struct timex, see adjtimex(2); the rest is only room for the kernel to write."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def machine_clock() -> dict[str, Any]:
    """synchronised, max_error_s and estimated_error_s of the wall clock, and how that is known; None for unknown."""
    unknown = {"synchronised": None, "max_error_s": None, "estimated_error_s": None, "known_by": "nothing"}
    if not sys.platform.startswith("linux"):
        return unknown
    told = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(told))
    except (OSError, AttributeError):
        return unknown
    if state < 0:
        return unknown
    kept = state != TIME_ERROR and not told.status & STA_UNSYNC
    return {
        "synchronised": kept,
        # Unkept, the kernel only counts its bounds up: they say nothing.
        "max_error_s": told.maxerror / 1e6 if kept else None,
        "estimated_error_s": told.esterror / 1e6 if kept else None,
        "known_by": "adjtimex(2): the kernel's clock discipline",
    }
