"""What happens now: the map, live pictures, open incidents, the newest events, today's counts."""

from collections import Counter, defaultdict
from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from dashboards import cases, feed, markup, person, session, states
from dashboards.case_calls import Incident
from dashboards.client import Camera, Fleet, StoredEvent
from dashboards.map import map_of
from dashboards.safe import plain
from dashboards.traffic_calls import Count
from dashboards.wall import MOST, page_of, wall
from dashboards.words import number, t, term

FEED = 40
QUEUE = 6
OPEN = ["new", "acknowledged", "assigned", "in_progress"]
SEEN, ALERTS, CROSSINGS = "all", "alerts", "crossings"


def strip(cameras: list[Camera], fleet: Fleet) -> str:
    """The numbers above all else, as HTML."""
    how = Counter(states.condition(camera).state for camera in cameras)
    said = "".join(
        f'<span class="hb-{state}"><span aria-hidden="true" style="margin:0">{states.SIGNS[state]}</span> '
        f"{how[state]} {escape(term(state))}</span>"
        for state in states.ORDER
        if how[state]
    )
    reports = [camera["status"] for camera in cameras if camera["status"]]
    latencies = [report["latency_p95_s"] for report in reports if report["latency_p95_s"] is not None]
    numbers = [
        (t("Tracked now"), number(sum(report["tracks"] for report in reports))),
        (t("Frames analysed/s"), number(sum(report["analysed_fps"] for report in reports))),
        (t("Slowest camera, p95"), f"{number(max(latencies) * 1000)} ms" if latencies else "–"),
    ]
    province = (fleet["province"] or {}).get("name") or "Hoa Ban"
    time = session.clock(session.zone(fleet))
    return (
        f'<div class="hb-strip"><div class="hb-states"><small>{escape(t("Cameras"))}</small>{said or "–"}</div>'
        f"{markup.boxes(numbers)}"
        f'<div class="hb-clock"><small>{escape(province)}</small><strong>{time}</strong></div></div>'
    )


def starting(cameras: list[Camera]) -> None:
    """Progress while no camera has shown a picture yet."""
    if not cameras:
        st.progress(0.0, t("The system is starting: waiting for the fleet …"))
        return
    wanted = [camera for camera in cameras if camera["enabled"]]
    how = Counter(states.condition(camera).state for camera in wanted)
    if how["live"] or how["stalled"] or how["ended"]:
        st.session_state["started"] = True
    if st.session_state.get("started") or not wanted:
        return
    reported = len(wanted) - how["silent"]
    text = t("The system is starting: {n} of {all} cameras have reported …", n=reported, all=len(wanted))
    st.progress(reported / len(wanted), text)


@st.fragment(run_every=2)
def top() -> None:
    cameras, error = session.cameras(api)
    session.trouble(error)
    fleet = session.fleet(api)
    if fleet["errors"]:
        listed = "\n".join(f"- {plain(line)}" for line in fleet["errors"])
        st.warning(f"**{t('The fleet file was refused.')} {in_force(fleet)}**\n\n{listed}", icon="📄")
    st.html(strip(cameras, fleet))
    if error is None:
        starting(cameras)


def in_force(fleet: Fleet) -> str:
    """Which fleet runs while its file is refused."""
    if not (taken_at := fleet.get("taken_at")):
        return t("No other is known: nothing new is started until the file is mended.")
    when = datetime.fromisoformat(taken_at).astimezone(zone()).strftime("%d/%m/%Y %H:%M")
    return t("The last good one, of {when}, runs until the file is mended.", when=when)


def open_incidents() -> list[Incident] | None:
    """Those that wait, the worst first; None for who may see none."""
    if not person.may(api, "incident.see"):
        return None
    found, _ = session.latest("incidents-open", lambda: api.incidents(OPEN, None, None))
    order = {code: place for place, code in enumerate(cases.SEVERITIES)}
    return sorted(found or [], key=lambda one: (one["state"] != "new", order[one["severity"]], one["waiting_since_s"]))


@st.fragment(run_every=4)
def overview() -> None:
    """Where everything is. A click on a camera or an incident leads to it."""
    cameras, _ = session.cameras(api)
    if not cameras:
        return
    fleet = session.fleet(api)
    names = {district["id"]: district["name"] for district in fleet["districts"]}
    province = (fleet["province"] or {}).get("name")
    clicked = map_of(cameras, open_incidents() or [], province, names, key="map")
    if clicked.camera:
        st.switch_page("views/cameras.py", query_params={"camera": clicked.camera})
    if clicked.incident:
        st.switch_page("views/incidents.py", query_params={"incident": str(clicked.incident)})


@st.fragment(run_every=3)
def queue() -> None:
    """The head of the queue of incidents."""
    found = open_incidents()
    if found is None:
        return
    st.html(markup.head(f"{t('Open incidents')} · {len(found)}"))
    cameras, _ = session.cameras(api)
    names = {camera["id"]: camera["name"] for camera in cameras}
    with st.container(height=216, border=True, gap=None, key="hb-queue"):
        if not found:
            st.html(markup.nothing(t("No incident waits.")))
        for one in found[:QUEUE]:
            st.page_link(
                "views/incidents.py",
                label=queue_line(one, names.get(one["camera"], one["camera"])),
                query_params={"incident": str(one["number"])},
                width="stretch",
            )


def queue_line(one: Incident, camera: str) -> str:
    """An incident in one line, as Markdown."""
    mark = {"critical": "red", "high": "red", "medium": "orange"}.get(one["severity"], "gray")
    said = f"**#{one['number']} {feed.kind_said(one['kind'])}** · {plain(camera)}"
    waits = f"{term(one['state'])} · {cases.age(one['waiting_since_s'])}"
    return f":{mark}[{cases.severity(one['severity'])}] {said} · {waits}"


@st.fragment(run_every=2)
def pictures() -> None:
    cameras, _ = session.cameras(api)
    shown = [camera for camera in cameras if camera["enabled"]]
    if not shown:
        if cameras:
            st.info(t("Every camera is switched off in the fleet file."))
        return
    shown = chosen(shown)
    addresses = session.picture_addresses(api, [camera["id"] for camera in shown])
    told = wall([states.tile(camera, addresses.get(camera["id"])) for camera in shown], key="wall")
    if told.refused:
        session.forget_tickets()
        st.rerun(scope="fragment")
    if told.chosen:
        st.switch_page("views/cameras.py", query_params={"camera": told.chosen})


def chosen(cameras: list[Camera]) -> list[Camera]:
    """The cameras of the chosen district and page; the controls are shown only where there is a choice."""
    if len(cameras) <= MOST:
        return cameras
    names = {district["id"]: district["name"] for district in session.fleet(api)["districts"]}
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    everywhere = t("All districts")
    ids = [None, *dict.fromkeys(camera["district"] for camera in cameras)]
    district = left.selectbox(
        t("District"), ids, format_func=lambda one: everywhere if one is None else names.get(one, one), key="district"
    )
    with right:
        return page_of([camera for camera in cameras if district in (None, camera["district"])], f"page-{district}")


@st.fragment(run_every=2)
def events() -> None:
    cameras, _ = session.cameras(api)
    head, choice = st.columns([1, 2], vertical_alignment="center")
    head.html(markup.head(t("Events")))
    said = {SEEN: t("All"), ALERTS: t("Alerts"), CROSSINGS: t("Crossings")}
    wanted = choice.segmented_control(
        t("Events"), list(said), format_func=said.__getitem__, default=SEEN, key="feed", label_visibility="collapsed"
    )
    rows, _ = session.latest(f"events-{wanted}", lambda: newest(wanted, cameras))
    with st.container(height=460, border=True):
        st.html(feed.listed(rows or [], session.names(api), zone()))


def newest(wanted: str | None, cameras: list[Camera]) -> list[StoredEvent]:
    """The newest events of a kind. Alerts are all that the fleet's rules find but crossings, which would bury them."""
    if wanted == CROSSINGS:
        return api.events(FEED, f"hoaban.{feed.COUNTS}")
    if wanted != ALERTS:
        return api.events(FEED)
    kinds = {rule["type"] for camera in cameras for rule in camera["rules"]} - {feed.COUNTS}
    rows = [row for kind in sorted(kinds) for row in api.events(FEED, f"hoaban.{kind}")]
    return sorted(rows, key=lambda row: -row["seq"])[:FEED]


@st.fragment(run_every=5)
def counts() -> None:
    midnight = datetime.now(zone()).replace(hour=0, minute=0, second=0, microsecond=0)
    rows, _ = session.latest("counts", lambda: api.counts(since=midnight.isoformat()))
    st.html(markup.head(t("Line crossings today")))
    with st.container(height=268, border=True):
        st.html(count_table(rows or [], session.names(api)))


def count_table(rows: list[Count], names: dict[str, str]) -> str:
    """Crossings by line and direction, a column for each class seen, as HTML."""
    if not rows:
        return markup.nothing(t("Nothing has crossed a line yet."))
    totals = Counter[str]()
    lines: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        lines[row["camera"], row["line"], row["direction"]][row["label"]] += row["n"]
        totals[row["label"]] += row["n"]
    labels = [label for label, _ in totals.most_common()]
    body = []
    for (camera, line, direction), by in sorted(lines.items(), key=lambda item: (-item[1].total(), item[0])):
        cells = (number(by[label]) if by[label] else "·" for label in labels)
        where = f"{escape(names.get(camera, camera))}<span>{escape(line)}, {escape(term(direction))}</span>"
        body.append((where, *cells, number(by.total())))
    return markup.table([t("Line"), *map(term, labels), t("Total")], body)


def zone() -> tzinfo:
    return session.zone(session.fleet(api))


api = session.client()
top()
left, middle, right = st.columns([5, 7, 5], gap="small")
with left:
    overview()
    counts()
with middle:
    pictures()
with right:
    queue()
    events()
