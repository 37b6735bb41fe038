"""Traffic: counts by class, direction and lane, turns, quarter hours, level of service, and the counts as a file."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from html import escape
from typing import Any

import streamlit as st

from dashboards import address, charts, markup, session, states
from dashboards.client import ApiError, Camera
from dashboards.traffic_calls import Count
from dashboards.words import number, t, term

SPANS = ("hour", "four_hours", "today", "day", "week")
HOURS = {"hour": 1, "four_hours": 4, "day": 24, "week": 168}
COUNTING = ("line_count", "turning_count")


def filters(cameras: list[Camera]) -> tuple[str, str | None]:
    """(since as RFC 3339, camera or None): as chosen, and kept in the address."""
    left, right = st.columns([3, 2])
    said = {
        "hour": t("Last hour"),
        "four_hours": t("Last 4 hours"),
        "today": t("Today"),
        "day": t("Last 24 hours"),
        "week": t("Last 7 days"),
    }
    default = address.chosen("span", SPANS, "today")
    span = left.segmented_control(t("Time"), SPANS, format_func=said.__getitem__, default=default, key="span_choice")
    span = span or "today"
    names = {c["id"]: c["name"] for c in cameras if any(rule["type"] in COUNTING for rule in c["rules"])}
    ids = [None, *names]
    camera = right.selectbox(
        t("Gateway"),
        ids,
        index=ids.index(address.chosen("camera", ids, None)),
        format_func=lambda one: names[one] if one else t("All gateways"),
        key="gateway_choice",
    )
    address.keep("span", span)
    address.keep("camera", camera)
    return since(span), camera


def since(span: str) -> str:
    """When a span began; to the quarter hour, so that answers are shared and intervals are whole."""
    now = datetime.now(zone)
    if span == "today":
        begin = now.replace(hour=0, minute=0)
    else:
        begin = now - timedelta(hours=HOURS[span])
        begin = begin.replace(minute=begin.minute // 15 * 15)
    return begin.replace(second=0, microsecond=0).isoformat()


def figures(rows: list[Count]) -> str:
    """The sums, as HTML."""
    directions = Counter[str]()
    quarters = Counter[float]()
    for row in rows:
        directions[row["direction"]] += row["n"]
        quarters[row["bucket_s"] or 0.0] += row["n"]
    boxes = [(t("Crossings"), number(sum(directions.values())))]
    boxes += [(term(direction), number(n)) for direction, n in sorted(directions.items(), reverse=True)]
    if quarters:
        begins_s, most = quarters.most_common(1)[0]
        busiest = datetime.fromtimestamp(begins_s, zone)
        boxes.append((t("Busiest quarter hour"), f"{busiest:%d/%m %H:%M} · {number(most)}"))
    return markup.strip(boxes)


def lanes(rows: list[Count]) -> str:
    """Line, direction and lane by class, as HTML."""
    labels = [label for label, _ in charts.by_label(rows).most_common()]
    sums: dict[tuple[str, str, str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        sums[row["camera"], row["line"], row["direction"], row["lane"] or ""][row["label"]] += row["n"]
    body = [
        (
            f"{escape(names.get(camera, camera))}<span>{escape(line)}, {escape(term(direction))}</span>",
            escape(lane) or "–",
            *(number(of[label]) if of[label] else "·" for label in labels),
            number(of.total()),
        )
        for (camera, line, direction, lane), of in sorted(sums.items(), key=lambda item: (-item[1].total(), item[0]))
    ]
    return markup.table([t("Line"), t("Lane"), *map(term, labels), t("Total")], body)


def turning(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(heading, matrix as HTML) of each turning rule: rows are where from, columns where to."""
    rules: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    for row in rows:
        rules[row["camera"], row["rule"]][row["from"], row["to"]] += row["n"]
    found = []
    for (camera, _), sums in sorted(rules.items(), key=lambda item: -item[1].total()):
        lines = sorted({line for pair in sums for line in pair})
        body = [
            (
                escape(origin),
                *(number(sums[origin, to]) if sums[origin, to] else "·" for to in lines),
                number(sum(sums[origin, to] for to in lines)),
            )
            for origin in lines
            if any(sums[origin, to] for to in lines)
        ]
        heads = [f"{t('from')} ↓  {t('to')} →", *lines, t("Total")]
        found.append((f"{names.get(camera, camera)} · {number(sums.total())}", markup.table(heads, body)))
    return found


def service(cameras: list[Camera]) -> str:
    """How the traffic flows now where a rule measures it, as HTML; empty where none does."""
    rows = ""
    for camera in cameras:
        for measure in ((camera["status"] or {}).get("measures") or {}).values():
            level = measure.get("level")
            if level is None:
                continue
            speed, unit = measure.get("speed"), measure.get("speed_unit")
            calibrated = unit == "km/h"
            pace = (
                "–"
                if speed is None
                else f"{number(speed, 0 if calibrated else 1)} {unit if calibrated else t('lengths/s')}"
            )
            note = "" if calibrated else f" · {t('not calibrated')}"
            rows += (
                f"<li>{states.level(level)}<div>{escape(camera['name'])}"
                f"<span>{escape(str(measure.get('zone') or ''))} · {t('{n} vehicles', n=measure.get('count', 0))}"
                f"{escape(note)}</span></div><time>{escape(pace)}</time></li>"
            )
    return f'<ol class="hb-feed">{rows}</ol>' if rows else ""


@st.fragment(run_every=5)
def flow() -> None:
    cameras, _ = session.cameras(api)
    st.html(markup.head(t("Level of service now")))
    shown = service(cameras)
    if shown:
        st.html(shown)
    else:
        st.html(markup.nothing(t("No rule measures the flow of traffic (congestion).")))


def take_away(begin: str, camera: str | None) -> None:
    """The counts as a file, fetched when it is asked for."""

    def fetched() -> bytes:
        try:
            return api.counts_file(begin, charts.QUARTER_S, camera)
        except ApiError as error:
            return str(error).encode()

    st.download_button(
        t("Export (CSV)"),
        fetched,
        file_name=f"hoaban-{camera or 'counts'}-{begin[:10]}.csv",
        mime="text/csv",
        icon=":material/download:",
        help=t("That the counts were taken away is recorded under your name."),
        on_click="ignore",
    )


@st.fragment(run_every=30)
def counted(begin: str, camera: str | None) -> None:
    rows, error = session.latest(f"traffic-{begin}-{camera}", lambda: api.counts(begin, charts.QUARTER_S, camera))
    session.trouble(error)
    if not rows:
        if error is None:
            st.info(t("Nothing has crossed a line in this time."), icon=":material/traffic:")
        return
    st.html(figures(rows))
    st.altair_chart(charts.crossings(rows, zone), width="stretch")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.html(markup.head(t("By line, direction and lane")) + lanes(rows))
    with right:
        found, _ = session.latest(f"turns-{begin}-{camera}", lambda: api.turns(begin, camera))
        st.html(markup.head(t("Turning movements")))
        if not found:
            st.html(markup.nothing(t("No turning was counted in this time.")))
        for heading, matrix in turning(found or []):
            st.html(f"<b>{escape(heading)}</b>{matrix}")


api = session.client()
zone = session.zone(session.fleet(api))
known, away = session.cameras(api)
names = {camera["id"]: camera["name"] for camera in known}
begin, gateway = filters(known)
main, side = st.columns([4, 1], gap="medium")
with side:
    take_away(begin, gateway)
    flow()
with main:
    counted(begin, gateway)
