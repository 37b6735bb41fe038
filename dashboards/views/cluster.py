"""The cluster: machines, actors, who sits at which model, times of each stage, and what a fleet would need."""

from collections.abc import Sequence
from html import escape
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from dashboards import cases, markup, session
from dashboards.client import ApiError, Camera
from dashboards.safe import plain
from dashboards.words import number, t, term

ROLES = ("traffic_enforcement", "traffic_counting", "overview", "face_crowd", "neighbourhood", "shared")
STAGES = ("decode", "send", "queue", "infer", "return", "analyse", "publish")
"""of a frame's way, as cameras report them"""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Of words, which are escaped here."""
    return markup.table(heads, [[escape(cell) for cell in row] for row in rows])


def share(value: float | None) -> str:
    return "–" if value is None else f"{number(100 * value)} %"


@st.fragment(run_every=5)
def machines() -> None:
    found, error = session.latest("cluster", api.cluster)
    if found is None:
        cases.missing(error)
        return
    if not found["ray"]:
        st.info(t("The API runs outside a Ray cluster: only its own machine is known."), icon=":material/info:")
    rows = [
        (
            one["address"] or one["id"][:12],
            f"● {t('alive')}" if one["alive"] else f"✕ {t('dead')}",
            number(one["cpus"]),
            share(one["load"]),
            number(one["gpus"]),
            "–" if one["memory_gb"] is None else f"{number(one['memory_gb'], 1)} GB",
            share(one["memory_used"]),
        )
        for one in found["nodes"]
    ]
    heads = [t("Machine"), t("State"), "CPU", t("in use"), "GPU", t("Memory"), t("in use")]
    st.html(markup.head(t("Machines")) + table(heads, rows))
    kinds = [(term(f"actor_{kind}"), number(n)) for kind, n in sorted(found["actors"].items())]
    left, right = st.columns([1, 2], gap="medium")
    left.html(markup.head(t("Actors")) + (table([t("Kind"), t("Number")], kinds) if kinds else "–"))
    seats = [
        (
            one["name"],
            f"● {t('answers')}" if one["answers"] else f"◌ {t('by what cameras say')}",
            ", ".join(
                f"{name}: {model['name']}@{model['version']} ({model['device']})"
                for name, model in one["models"].items()
            )
            or "–",
            number(len(one["seats"])),
        )
        for one in found["inference"]
    ]
    pool = table([t("Inference actor"), t("State"), t("Models"), t("Seats taken")], seats) if seats else "–"
    right.html(markup.head(t("Seats of the pool")) + pool)


@st.fragment(run_every=5)
def stages() -> None:
    """Where time goes between a picture and its events, by role."""
    cameras, error = session.cameras(api)
    session.trouble(error)
    rows = times(cameras)
    st.html(markup.head(t("From picture to event, by role")))
    if not rows:
        st.html(markup.nothing(t("No camera reports a time yet.")))
        return
    frame = pd.DataFrame(rows)
    chart = (
        alt.Chart(frame, height=alt.Step(11))
        .mark_bar()
        .encode(
            y=alt.Y("role:N", title=None, axis=alt.Axis(labelLimit=220)),
            yOffset="what:N",
            x=alt.X("ms:Q", title="ms", axis=alt.Axis(tickCount=6)),
            color=alt.Color(
                "what:N", title=None, legend=alt.Legend(orient="top"), scale=alt.Scale(range=["#56b4e9", "#d55e00"])
            ),
            tooltip=[
                alt.Tooltip("role:N", title=t("Role")),
                alt.Tooltip("what:N", title=" "),
                alt.Tooltip("ms:Q", format=".0f"),
            ],
        )
    )
    st.altair_chart(chart, width="stretch")
    if way := ways(cameras):
        st.html(table([t("Role"), *(term(f"stage_{stage}") for stage in STAGES), t("Budget"), t("Given up")], way))
        st.caption(t("Each stage of a frame's way, ms: of the slowest camera of the role, p95 of its last seconds."))
    st.html(table([t("Stage"), t("Cameras"), t("Sum")], flow(cameras)))


def times(cameras: list[Camera]) -> list[dict[str, Any]]:
    found = []
    for role in ROLES:
        told = [
            c["status"]
            for c in cameras
            if c["role"] == role and c["status"] and c["status"]["latency_p95_s"] is not None
        ]
        for key, said in (("latency_p50_s", t("median camera, p50")), ("latency_p95_s", t("slowest camera, p95"))):
            values = sorted(1000 * (one[key] or 0.0) for one in told)  # type: ignore[literal-required]
            if values:
                ms = values[-1] if key.endswith("95_s") else values[len(values) // 2]
                found.append({"role": term(role), "what": said, "ms": ms})
    return found


def ways(cameras: list[Camera]) -> list[tuple[str, ...]]:
    """By role: the slowest camera's time in each stage, the tightest budget, and how many cameras give something up."""
    found = []
    for role in ROLES:
        told = [c["status"]["latency"] for c in cameras if c["role"] == role and c["status"] and _staged(c)]
        if not told:
            continue
        stages = [max(one["stages_p95_s"].get(stage, 0.0) for one in told) for stage in STAGES]
        budgets = [one["budget_s"] for one in told if one["budget_s"] is not None]
        budget = f"{number(1000 * min(budgets))} ms" if budgets else "–"
        given_up = sum(one["rung"] != "full" for one in told)
        found.append((term(role), *(number(1000 * seconds) for seconds in stages), budget, number(given_up)))
    return found


def _staged(camera: Camera) -> bool:
    return bool(((camera["status"] or {}).get("latency") or {}).get("stages_p95_s"))


def flow(cameras: list[Camera]) -> list[tuple[str, str, str]]:
    told: list[dict[str, Any]] = [dict(c["status"]) for c in cameras if c["status"]]

    def row(name: str, key: str, digits: int = 0) -> tuple[str, str, str]:
        values = [one.get(key) or 0 for one in told]
        return name, number(sum(1 for value in values if value)), number(sum(values), digits)

    return [
        row(t("Frames decoded/s"), "decoded_fps", 1),
        row(t("Frames analysed/s"), "analysed_fps", 1),
        row(t("Replaced by a newer one"), "frames_replaced"),
        row(t("Held back, nothing moved"), "frames_gated"),
        row(t("Failed in a model or rule"), "frames_failed"),
        row(t("Events waiting on disk"), "events_spooled"),
    ]


def planning() -> None:
    """`hoaban plan` for the fleet that runs, with changes."""
    with st.form("plan"):
        a, b, c, d = st.columns([2, 1, 1, 1], vertical_alignment="bottom")
        change = a.text_input(t("What if …"), placeholder="+20 face_crowd; analysis_fps=10 overview")
        cpus = b.number_input(t("CPUs of a machine"), 1, 512, 16)
        memory = c.number_input(t("Memory of a machine, GB"), 1, 4096, 64)
        gpus = d.number_input(t("GPUs of a machine"), 0, 16, 0)
        spare = st.checkbox(t("One machine of each site may fail"), True)
        asked = st.form_submit_button(t("Plan"), type="primary", icon=":material/calculate:")
    if not asked:
        return
    wanted = {
        "what_if": [part.strip() for part in change.split(";") if part.strip()] or None,
        "cpus": cpus,
        "memory_gb": memory,
        "gpus": gpus,
        "spare": str(spare).lower(),
    }
    try:
        found = api.plan(wanted)
    except ApiError as error:
        st.error(plain(error), icon=":material/calculate:")
        return
    figures = [
        (t("Machines"), number(found["nodes"])),
        (t("Cameras"), number(found["cameras"])),
        (t("Head: CPUs"), number(found["head"]["cpus"], 1)),
    ]
    st.html(markup.strip(figures))
    rows = [
        (
            site["site"] or "–",
            number(site["cameras"]),
            number(site["nodes"]),
            number(site["cpus"], 1),
            number(site["memory_mb"] / 1024, 1),
            number(site["gpus"], 2),
            number(site["network_mbit"]),
            share(site["busiest"]),
            share(site["busiest_after_loss"]),
        )
        for site in found["sites"]
    ]
    heads = [t("Site"), t("Cameras"), t("Machines"), "CPU", "GB", "GPU", "Mbit/s", t("busiest"), t("after a loss")]
    st.html(table(heads, rows))
    costs = found["costs"]
    st.caption(plain(t("By costs measured on {machine}, {date}.", machine=costs["machine"], date=costs["date"])))


api = session.client()
running, plan = st.tabs([t("Now"), t("Capacity plan")])
with running:
    machines()
    stages()
with plan:
    planning()
