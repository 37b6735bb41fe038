"""Models: what stands for which name and runs on which camera, candidates judged and shadowed, promoted, taken back."""

import json
from collections import Counter
from functools import partial
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import cases, markup, person, session
from dashboards.client import ApiError
from dashboards.safe import plain
from dashboards.words import number, seconds, t, term, when


def current() -> None:
    """Which model each name is, which cameras run it, and its probation."""
    found, error = session.latest("models-current", api.models_current)
    if found is None:
        cases.missing(error)
        return
    trials = probation()
    for place in found["places"]:
        with st.container(border=True):
            left, right = st.columns([3, 1], vertical_alignment="center")
            promoted = place["since"] and any(s["place"] == place["name"] for s in found["steps"])
            ran = "".join(
                f"<dt>{escape(model)}</dt><dd>{escape(roles(cameras))}{behind(model, place['model'])}</dd>"
                for model, cameras in sorted(place["answers"].items())
            )
            since = f" · {escape(t('since'))} {escape(when(place['since'], zone))}" if promoted else ""
            left.html(
                f"<b>{escape(place['name'])}</b> → <b>{escape(place['model'])}</b>{since}"
                f'<dl class="hb-facts">{ran or escape(t("No camera reports it now."))}</dl>'
                + "".join(trial(one) for name, one in trials if name == place["name"])
            )
            if promoted and person.may(api, "model.change"):
                with right.popover(t("Take back"), icon=":material/undo:"):
                    why = st.text_input(t("Why"), key=f"why-{place['name']}", max_chars=500)
                    if st.button(t("Take back"), key=f"back-{place['name']}", disabled=len(why.strip()) < 5):
                        back = partial(api.roll_back, place["name"], why.strip())
                        cases.act(api, back, t("Taken back: cameras swap within seconds."))
    st.html(markup.head(t("What was done")))
    if not found["steps"]:
        st.html(markup.nothing(t("Nothing was promoted: every name stands for itself.")))
        return
    st.html('<ol class="hb-feed">' + "".join(step(one) for one in found["steps"][:20]) + "</ol>")


def behind(model: str, wanted: str) -> str:
    return "" if model == wanted else f' <b class="hb-stalled">▲ {escape(t("not swapped yet"))}</b>'


def step(one: dict[str, Any]) -> str:
    promoted = one["kind"] == "promote"
    sign, said = ("▲", t("promoted")) if promoted else ("▼", t("taken back"))
    by = t("the system, on probation") if one["by"] == "hoaban" else one["by"]
    return (
        f"<li><b>{sign} {escape(said)}</b><div>{escape(one['place'])}: {escape(one['before'])} → {escape(one['after'])}"
        f"<span>{escape(by)}{escape(': ' + one['why'] if one['why'] else '')}</span></div>"
        f"<time>{escape(when(one['at'], zone))}</time></li>"
    )


def roles(cameras: list[str]) -> str:
    """How many cameras of each role."""
    known, _ = session.cameras(api)
    of = Counter(term(camera["role"]) for camera in known if camera["id"] in cameras)
    return ", ".join(f"{role} {n}" for role, n in of.most_common()) or t("{n} cameras", n=len(cameras))


def probation() -> list[tuple[str, dict[str, Any]]]:
    """(name, last swap) of each inference actor that tells of one."""
    if not person.may(api, "metrics.read"):
        return []
    found, _ = session.latest("cluster", api.cluster)
    return [pair for actor in (found or {}).get("inference", []) for pair in (actor.get("swaps") or {}).items()]


def trial(one: dict[str, Any]) -> str:
    style, sign = {"on probation": ("connecting", "◌"), "kept": ("live", "●")}.get(one["state"], ("failed", "✕"))
    said = t("{n} pictures so far", n=number(one["pictures"])) if one["state"] == "on probation" else one["why"]
    return f'<b class="hb-{style}">{sign} {escape(term(one["state"]))}</b> {escape(said)}<br>'


def evaluation() -> None:
    """A report of `hoaban models evaluate`, read, and the candidate promoted by it."""
    st.caption(t("Judge a candidate with `hoaban models evaluate NAME@VERSION --out REPORT.json`, then show it here."))
    file = st.file_uploader(t("Report of the evaluation"), ["json"], key="report")
    if file is None:
        return
    try:
        report = json.loads(file.getvalue())
        candidate, present = report["candidate"], report["present"]
        verdicts, recordings = report["verdicts"], report["recordings"]
        head = f"{candidate['name']}@{candidate['version']}", f"{present['name']}@{present['version']}"
    except (ValueError, KeyError, TypeError):
        st.error(t("This is no report of an evaluation."), icon=":material/error:")
        return
    passed = bool(report.get("passed"))
    style, sign, said = ("live", "●", t("passed")) if passed else ("failed", "✕", t("refused"))
    st.html(
        f'<b class="hb-{style}">{sign} {escape(said)}</b> {escape(head[0])} {escape(t("against"))} {escape(head[1])}'
        f"<br>{escape(str(report.get('reason') or ''))}"
    )
    st.dataframe(pd.json_normalize(verdicts), hide_index=True)
    with st.expander(t("By recording ({n})", n=len(recordings))):
        st.dataframe(pd.json_normalize(recordings), hide_index=True)
    if not person.may(api, "model.change"):
        return
    st.caption(t("The gate is applied again to the report's figures; a model on probation that fails is taken back."))
    if st.button(t("Promote {model}", model=head[0]), type="primary", icon=":material/upgrade:", disabled=not passed):
        cases.act(api, lambda: api.promote(report, None), t("Promoted: cameras swap within seconds, on probation."))


@st.fragment(run_every=5)
def shadows() -> None:
    """Candidates that look at live frames beside the model that counts."""
    found, error = session.latest("shadows", api.shadows)
    if found is None:
        cases.missing(error)
        return
    if not found:
        st.info(t("No candidate looks on now."), icon=":material/compare:")
    for one in found:
        with st.container(border=True):
            runs = one["state"] == "running"
            rate = "–" if one["per_100_frames"] is None else number(one["per_100_frames"], 1)
            sign, style = ("●", "live") if runs else ("■", "ended")
            figures = [
                (t("Looked at"), number(one["looked"])),
                (t("Disagree, of 100"), rate),
                (t("No time for"), number(one["dropped"])),
                (t("Failed on"), number(one["failed"])),
            ]
            kinds = ", ".join(f"{term(kind)} {n}" for kind, n in one["kinds"].items() if n)
            by = f"{one['by']}, {when(one['begun'], zone)}"
            st.html(
                f'<b class="hb-{style}">{sign} {escape(one["model"])}</b> · {escape(by)}'
                f"{markup.strip(figures)}{escape(kinds)}"
            )
            errors = {camera["error"] for camera in one["at_cameras"] if camera["error"]}
            for why in sorted(errors):
                st.warning(plain(why), icon=":material/build:")
            if one["at_cameras"]:
                slow = [c["look_p50_s"] for c in one["at_cameras"] if c["look_p50_s"] is not None]
                st.caption(
                    t(
                        "At {n} cameras; a look takes {time}.",
                        n=len(one["at_cameras"]),
                        time=seconds(max(slow)) if slow else "–",
                    )
                )
            if runs and person.may(api, "model.change"):
                model = one["model"]
                if st.button(t("End it"), key=f"end-{model}", icon=":material/stop_circle:"):
                    cases.act(api, lambda model=model: api.end_shadow(model, ""), t("Ended."))


def begin() -> None:
    with st.form("shadow"):
        packages, _ = session.latest("models", api.models)
        refs = [f"{one['name']}@{one['version']}" for one in packages or [] if one["available"]]
        left, middle, right = st.columns([2, 2, 1], vertical_alignment="bottom")
        model = left.selectbox(t("Candidate"), refs)
        known = ["traffic_enforcement", "traffic_counting", "overview", "face_crowd", "neighbourhood", "shared"]
        role = middle.selectbox(t("Role"), [None, *known], format_func=lambda one: term(one) if one else t("All roles"))
        sample = right.number_input(t("Share of frames"), 0.01, 1.0, 0.1, 0.05)
        if st.form_submit_button(t("Let it look on"), icon=":material/visibility:") and model:
            wanted = {"model": model, "role": role, "sample": sample}
            cases.act(
                api, lambda: api.begin_shadow(wanted), t("It looks on within seconds; what it finds makes no event.")
            )


def disagreements() -> None:
    found, _ = session.latest("shadows", api.shadows)
    if not found:
        return
    model = st.selectbox(t("Where they disagree"), [one["model"] for one in found], key="disagree")
    rows, error = session.latest(f"disagreements-{model}", lambda: api.disagreements(model))
    if not rows:
        cases.missing(error)
        if error is None:
            st.caption(t("No picture of a disagreement is kept."))
        return
    for column, one in zip([c for _ in range(4) for c in st.columns(3)], rows, strict=False):
        said = ", ".join(
            f"{term(d['kind'])}: {term((d['primary'] or {}).get('class')) or '–'} / "
            f"{term((d['candidate'] or {}).get('class')) or '–'}"
            for d in one["differences"][:3]
        )
        try:
            column.image(api.picture(one["picture"]), caption=f"{one['camera']} · {when(one['time'], zone)} · {said}")
        except ApiError as refused:
            column.caption(plain(f"{one['camera']}: {refused}"))


def known_models() -> None:
    rows, error = session.latest("models", api.models)
    if rows is None:
        cases.missing(error)
        return
    for one in rows:
        here = f'<b class="hb-live">● {escape(t("here"))}</b>'
        away = f'<b class="hb-stalled">▲ {escape(t("file not here"))}</b>'
        with st.expander(f"{one['name']} {one['version']} · {one['task']} · {one['backend']}"):
            facts = [
                (t("Licence"), one["licence"]),
                (t("Origin"), one["origin"]),
                (t("Known failures"), one["known_failures"]),
                (t("Digest"), one["digest"][:16]),
            ]
            told = markup.facts((name, str(value or "–")) for name, value in facts)
            st.html((here if one["available"] else away) + told)


api = session.client()
zone = session.zone(session.fleet(api))
cases.flash()
now, judged, beside, all_known = st.tabs([t("In force"), t("Evaluation"), t("Shadow"), t("All models")])
with now:
    current()
with judged:
    evaluation()
with beside:
    shadows()
    if person.may(api, "model.change"):
        begin()
    disagreements()
with all_known:
    known_models()
