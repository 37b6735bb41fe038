"""Each camera's state, rates and troubles."""

import time

import pandas as pd
import streamlit as st

from dashboards import session
from dashboards.words import t

SIGNS = {"live": "● ", "connecting": "◌ ", "stalled": "▲ ", "failed": "✕ ", "ended": "■ "}


@st.fragment(run_every=2)
def table() -> None:
    cameras = session.asked(api.cameras)
    if cameras is None:
        return
    now = time.time()
    rows = []
    for camera in cameras:
        status = camera["status"] or {}
        state = status.get("state", "unknown")
        last = status.get("last_frame_s")
        rows.append(
            {
                t("camera"): camera["name"],
                t("state"): SIGNS.get(state, "? ") + t(state),
                t("role"): t(camera["role"]),
                t("district"): camera["district"],
                t("last_frame"): None if last is None else round(max(0.0, now - last), 1),
                t("source_fps"): status.get("decoded_fps"),
                t("analysed"): status.get("analysed_fps"),
                t("in_view"): status.get("tracks"),
                t("problem"): status.get("error") or "",
            }
        )
    st.dataframe(pd.DataFrame(rows), hide_index=True, height=min(900, 60 + 36 * len(rows)))


st.header(t("cameras"))
api = session.client()
table()
