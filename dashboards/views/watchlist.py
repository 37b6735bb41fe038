"""Watchlists of faces and plates: proposed by one person, approved by another, and what was found by them."""

import base64
from datetime import date, datetime, timedelta
from html import escape

import pandas as pd
import streamlit as st

from dashboards import cases, feed, person, session
from dashboards.client import ApiError
from dashboards.governing_calls import Listed
from dashboards.safe import plain
from dashboards.words import t, term, when

FACES, PLATES = "", "/plates"
HITS = ("face_watchlist", "plate_watchlist")
DAY = "%d/%m/%Y"
SOON = timedelta(days=14)
STATE_SIGNS = {"waiting for approval": "◌", "active": "●", "expired": "–"}


def row(one: Listed) -> dict[str, object]:
    over = datetime.fromisoformat(one["expires_at"])
    soon = one["state"] == "active" and over - datetime.now(over.tzinfo) < SOON
    return {
        t("State"): f"{STATE_SIGNS.get(one['state'], '?')} {term(one['state'])}",
        t("List"): one["watchlist"],
        t("Case"): one["subject"],
        t("Plate"): one.get("plate", ""),
        t("Law"): one["law"],
        t("Order of"): f"{one['authority']}, {one['document']}",
        t("Erased on"): when(one["expires_at"], zone, DAY) + (f" ({t('soon')})" if soon else ""),
        t("Proposed by"): one["added_by"],
        t("Approved by"): one["approved_by"] or "–",
    }


def entries(kind: str) -> None:
    """The list, and what may be done with the entry that is chosen."""
    found, error = session.latest(f"watchlist{kind}", lambda: api.watchlist(kind))
    if found is None:
        cases.missing(error)
        return
    found = sorted(found, key=lambda one: (one["state"] != "waiting for approval", one["expires_at"]))
    if not found:
        st.info(t("The list is empty."), icon=":material/playlist_add:")
        return
    frame = pd.DataFrame([row(one) for one in found])
    if kind == FACES:
        frame = frame.drop(columns=[t("Plate")])
    picked = st.dataframe(
        frame,
        hide_index=True,
        height=min(400, 38 + 35 * len(found)),
        on_select="rerun",
        selection_mode="single-row",
        key=f"entries{kind}",
    )
    rows = picked["selection"]["rows"]
    if rows and rows[0] < len(found):
        entry(kind, found[rows[0]])
    elif person.may(api, "watchlist.approve"):
        st.caption(t("Choose an entry to approve or erase it."))


def entry(kind: str, one: Listed) -> None:
    with st.container(border=True):
        st.html(
            f"<b>{escape(one['subject'])}</b> · {escape(term(one['state']))}<br>"
            f"{escape(t('Basis until'))} {escape(when(one['basis_until'], zone, DAY))} · {escape(t('Erased on'))} "
            f"{escape(when(one['expires_at'], zone, DAY))}<br>{escape(t('Proposed by'))} {escape(one['added_by'])}, "
            f"{escape(when(one['added_at'], zone, DAY))}"
        )
        if not person.may(api, "watchlist.approve"):
            st.caption(t("A second person, who approves watchlists, decides."))
            return
        mine = (person.me(api) or {}).get("name") == one["added_by"]
        left, right, _ = st.columns([1, 1, 2])
        waits = one["state"] == "waiting for approval"
        if waits and left.button(
            t("Approve"), type="primary", icon=":material/how_to_reg:", disabled=mine, key=f"approve-{one['id']}"
        ):
            cases.act(api, lambda: api.approve(kind, one["id"]), t("Approved: the cameras look for it from now on."))
        if mine:
            st.caption(t("You proposed it, so another person must approve it."))
        sure = right.checkbox(t("It is to be erased"), key=f"sure-{one['id']}")
        if right.button(t("Erase"), icon=":material/delete:", disabled=not sure, key=f"erase-{one['id']}"):
            cases.act(
                api, lambda: api.erase_listed(kind, one["id"]), t("Erased: the cameras forget it within seconds.")
            )


def propose(kind: str) -> None:
    """A form for a new entry."""
    with st.form(f"propose{kind}", clear_on_submit=False):
        left, right = st.columns(2)
        watchlist = left.text_input(t("List"), "wanted", max_chars=63, help=t("small letters, digits, - and _"))
        subject = right.text_input(t("Case or file number, not a name"), max_chars=128)
        plate = left.text_input(t("Plate, as written on it"), max_chars=20) if kind == PLATES else ""
        photo = left.file_uploader(t("Photo of the face"), ["jpg", "jpeg", "png"]) if kind == FACES else None
        law = right.text_input(t("Law that allows it"), max_chars=400)
        authority = left.text_input(t("Authority that ordered it"), max_chars=400)
        document = right.text_input(t("Document"), max_chars=400)
        tomorrow = date.today() + timedelta(days=1)
        basis = left.date_input(
            t("Basis until"), date.today() + timedelta(days=90), min_value=tomorrow, format="DD/MM/YYYY"
        )
        expires = right.date_input(
            t("Erased on"), date.today() + timedelta(days=90), min_value=tomorrow, format="DD/MM/YYYY"
        )
        st.caption(t("A photo is made a template and forgotten. Nothing is looked for before another person approved."))
        if not st.form_submit_button(t("Propose"), type="primary"):
            return
    filled = [watchlist, subject, law, authority, document, plate if kind == PLATES else photo]
    if not all(filled):
        st.warning(t("Fill in every field."))
        return
    wanted = {
        "watchlist": watchlist.strip(),
        "subject": subject.strip(),
        "law": law.strip(),
        "authority": authority.strip(),
        "document": document.strip(),
        "basis_until": datetime.combine(basis, datetime.min.time(), zone).isoformat(),
        "expires_at": datetime.combine(expires, datetime.min.time(), zone).isoformat(),
    }
    if kind == PLATES:
        wanted["plate"] = plate.strip()
    elif photo is not None:
        wanted["photo"] = base64.b64encode(photo.getvalue()).decode()
    cases.act(api, lambda: api.propose(kind, wanted), t("Proposed. It waits for another person's approval."))


def hits() -> None:
    """What the lists have found: to be compared by an officer, never a finding of who it was."""
    rows, error = session.latest("hits", lambda: [row for kind in HITS for row in api.events(20, f"hoaban.{kind}")])
    if rows is None:
        cases.missing(error)
        return
    st.caption(
        t("A similarity is a reason to look, not a proof. Faces stay hidden until there is a reason to see them.")
    )
    st.html(feed.listed(sorted(rows, key=lambda row: -row["seq"]), session.names(api), zone))
    places = sorted({row["event"]["data"]["camera"] for row in rows})
    if places and person.may(api, "picture.unmask"):
        look(places, session.names(api))


def look(places: list[str], names: dict[str, str]) -> None:
    """The camera's picture with faces shown, for a reason."""
    with st.form("unmask"):
        camera = st.selectbox(t("Camera"), places, format_func=lambda id: names.get(id, id))
        reason = st.text_input(t("Why must someone be seen? The number of the case, and what for"), max_chars=500)
        st.caption(t("The reason and every look are recorded under your name."))
        asked = st.form_submit_button(t("Show the picture unmasked"), icon=":material/visibility:")
    if asked and len(reason.strip()) < 10:
        st.warning(t("Say why in ten letters or more."))
    elif asked:
        try:
            st.image(api.unmasked(camera, reason.strip()), caption=plain(f"{names.get(camera, camera)} · {reason}"))
        except ApiError as error:
            st.error(plain(error), icon=":material/visibility_off:")


api = session.client()
zone = session.zone(session.fleet(api))
cases.flash()
faces, plates, found, new = st.tabs([t("Faces"), t("Plates"), t("Hits"), t("Propose")])
with faces:
    entries(FACES)
with plates:
    entries(PLATES)
with found:
    hits()
with new:
    if person.may(api, "watchlist.propose"):
        what = st.segmented_control(
            t("What is looked for"),
            [PLATES, FACES],
            format_func=lambda kind: t("A plate") if kind else t("A face"),
            default=PLATES,
            key="propose_kind",
        )
        propose(PLATES if what is None else what)
    else:
        st.info(t("Your roles do not let you propose entries."), icon=":material/lock:")
