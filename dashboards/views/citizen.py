"""For citizens: tell of something, and see what has become of it. Nobody signs in here.

The page speaks to the API with a token of its own (HOABAN_INTAKE_TOKEN) that may file reports and nothing else.
"""

import base64
import os
from typing import Any

import streamlit as st

from dashboards import session, viewer
from dashboards.client import ApiClient, ApiError
from dashboards.safe import plain
from dashboards.words import t, term

MOST_MIB = 8


def report() -> None:
    """The form; what cannot be right is told before anything is sent."""
    if kept := st.session_state.get("filed"):
        filed(kept)
        return
    with st.form("citizen", border=False):
        text = st.text_area(t("What happened?"), max_chars=4000, height=140)
        landmark = st.text_input(t("Where? A street, a bridge, a shop …"), max_chars=200)
        lat, lon = st.columns(2)
        north = lat.number_input(t("Latitude, if you know it"), -90.0, 90.0, value=None, format="%.6f")
        east = lon.number_input(t("Longitude, if you know it"), -180.0, 180.0, value=None, format="%.6f")
        photo = st.file_uploader(t("Photo"), type=["jpg", "jpeg", "png", "webp"], max_upload_size=MOST_MIB)
        st.caption(t("Faces in it are hidden, and what the file tells of you and your telephone is removed."))
        phone = st.text_input(t("Your telephone number or e-mail, if we may ask you"), max_chars=200)
        st.caption(t("It is kept encrypted, and shown only to who handles your report, for a reason that is recorded."))
        sent = st.form_submit_button(t("Send"), type="primary", icon=":material/send:")
    if not sent:
        return
    wrong = problem(text, landmark, north, east)
    if wrong:
        st.warning(wrong, icon=":material/edit:")
        return
    contact = {"email" if "@" in phone else "phone": phone.strip()[: 200 if "@" in phone else 50]} if phone else {}
    wanted: dict[str, Any] = {"text": text.strip(), "contact": contact}
    if landmark.strip():
        wanted["landmark"] = landmark.strip()
    if north is not None and east is not None:
        wanted |= {"lat": north, "lon": east}
    if photo is not None:
        wanted["photo"] = base64.b64encode(photo.getvalue()).decode()
    try:
        with st.spinner(t("Sending …")):
            st.session_state["filed"] = api.file_report(wanted, viewer.address())
        st.rerun()
    except ApiError as error:
        refused(error)


def problem(text: str, landmark: str, north: float | None, east: float | None) -> str | None:
    """What is to be mended before the report can be sent."""
    if len(text.strip()) < 5:
        return t("Say in a few words what happened.")
    if (north is None) != (east is None):
        return t("Give both latitude and longitude, or neither.")
    if north is None and len(landmark.strip()) < 3:
        return t("Say where it happened.")
    return None


def filed(kept: dict[str, str]) -> None:
    """The two words by which the citizen finds the report again: shown this once."""
    st.success(t("Thank you. Your report has arrived."), icon=":material/task_alt:")
    st.write(t("Write these two down: with them, and only with them, you see here what has become of it."))
    number, code = st.columns(2)
    number.metric(t("Tracking number"), kept["tracking"])
    code.metric(t("Access code"), kept["access_code"])
    if st.button(t("Report something else")):
        del st.session_state["filed"]
        st.rerun()


def follow() -> None:
    with st.form("follow", border=False):
        tracking = st.text_input(t("Tracking number"), max_chars=64, placeholder="ABCD-EFGH")
        code = st.text_input(t("Access code"), max_chars=64, placeholder="ABCD-EFGH-JKLM")
        asked = st.form_submit_button(t("Look"), type="primary")
    if not asked:
        return
    if not (tracking.strip().isascii() and code.strip().isascii() and tracking.strip() and code.strip()):
        st.warning(t("Give both the number and the code."), icon=":material/edit:")
        return
    try:
        seen = api.filed_report(tracking.strip(), code.strip(), viewer.address())
    except ApiError as error:
        refused(error)
        return
    st.info(f"**{t('State')}**: {term(seen['state'])}", icon=":material/info:")
    if seen["answer"]:
        st.text(seen["answer"])


def refused(error: ApiError) -> None:
    if error.status == 404:
        st.warning(t("There is no report with this number and this code."), icon=":material/search_off:")
    elif error.status == 429:
        st.warning(t("Too many at once from your connection. Try again later."), icon=":material/timer:")
    elif error.status in (413, 422):
        st.warning(f"{t('This cannot be taken as it is.')} {plain(error)}", icon=":material/edit:")
    else:
        st.error(t("This does not work at the moment. Try again later, or telephone."), icon=":material/cloud_off:")


st.title(t("Report something"), anchor=False)
if token := os.environ.get("HOABAN_INTAKE_TOKEN"):
    api: ApiClient = session.client_of(token)
    new, old = st.tabs([t("Report"), t("What has become of my report?")])
    with new:
        report()
    with old:
        follow()
else:
    st.info(t("Reports are not taken here at the moment."), icon=":material/pause_circle:")
