"""Charts of counts, on the province's clock."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, tzinfo

import altair as alt
import pandas as pd

from dashboards.traffic_calls import Count
from dashboards.words import t, term

QUARTER_S = 900
LEAST_SHOWN = pd.Timedelta(hours=4)
"""of the time line: one quarter hour alone would be one bar as wide as the page"""
# told apart by the colour-blind, too (Okabe and Ito)
COLOURS = {
    "motorcycle": "#0072b2",
    "car": "#e69f00",
    "bus": "#009e73",
    "truck": "#cc79a7",
    "bicycle": "#56b4e9",
    "person": "#999999",
}


def crossings(rows: Sequence[Count], zone: tzinfo) -> alt.Chart:
    """Crossings in each quarter hour by class."""
    sums: dict[tuple[float, str], int] = defaultdict(int)
    for row in rows:
        sums[row["bucket_s"] or 0.0, row["label"]] += row["n"]
    labels = [label for label, _ in by_label(rows).most_common()]
    # Altair takes a time without a zone for the viewer's own: what it shows is then the province's clock.
    table = pd.DataFrame(
        [
            {"at": datetime.fromtimestamp(at_s, zone).replace(tzinfo=None), "class": term(label), "n": n}
            for (at_s, label), n in sums.items()
        ]
    )
    table["end"] = table["at"] + pd.Timedelta(seconds=QUARTER_S)
    ends = table["end"].max()
    begins = min(table["at"].min(), ends - LEAST_SHOWN)
    clock = "%H:%M" if ends - begins <= pd.Timedelta(hours=24) else "%d/%m %H:%M"
    colours = alt.Scale(domain=[term(one) for one in labels], range=[COLOURS.get(one, "#7f7f7f") for one in labels])
    return (
        alt.Chart(table, height=260)
        .mark_bar(orient="vertical", binSpacing=1)
        .encode(
            x=alt.X(
                "at:T",
                title=None,
                axis=alt.Axis(format=clock, labelOverlap=True),
                scale=alt.Scale(domain=[begins.isoformat(), ends.isoformat()]),
            ),
            x2="end:T",
            y=alt.Y("n:Q", title=t("Crossings in 15 minutes"), stack="zero"),
            color=alt.Color("class:N", title=t("Class"), scale=colours, legend=alt.Legend(orient="top")),
            tooltip=[
                alt.Tooltip("at:T", title=t("Time"), format="%d/%m %H:%M"),
                alt.Tooltip("class:N", title=t("Class")),
                alt.Tooltip("n:Q", title=t("Crossings")),
            ],
        )
    )


def by_label(rows: Sequence[Count]) -> Counter[str]:
    sums = Counter[str]()
    for row in rows:
        sums[row["label"]] += row["n"]
    return sums
