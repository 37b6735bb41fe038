"""Where this viewer's browser is, and how the API is told: under a secret that `hoaban up` gave both."""

import hmac
import os
from collections.abc import Sequence
from ipaddress import ip_address

import streamlit as st

SECRET = "HOABAN_VIEWER_SECRET"  # noqa: S105  (a name)
PROXIES = "HOABAN_DASHBOARD_PROXIES"


def address() -> str:
    """The address of this viewer's browser."""
    proxies = os.environ.get(PROXIES, "")
    written = st.context.headers.get_all("X-Forwarded-For")
    return _behind(written, int(proxies) if proxies.isdecimal() else 0) or st.context.ip_address or "127.0.0.1"


def told(address: str) -> dict[str, str]:
    """The header that tells the API whose browser it is; without a secret none, for it would not be believed."""
    secret = os.environ.get(SECRET)
    if not secret:
        return {}
    return {"X-Hoaban-Viewer": f"{address} {hmac.digest(secret.encode(), address.encode(), 'sha256').hex()}"}


def _behind(lines: Sequence[str], proxies: int) -> str | None:
    """What the outermost of so many machines wrote; what stands further left the browser may have written itself."""
    written = [part.strip() for line in lines for part in line.split(",")]
    if not 0 < proxies <= len(written):
        return None
    try:
        return str(ip_address(written[-proxies]))
    except ValueError:
        return None
