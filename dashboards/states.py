"""How a camera is, in a sign, words and a colour: never the colour alone."""

from dataclasses import dataclass
from html import escape

from dashboards import reasons
from dashboards.client import Camera, Status
from dashboards.wall import Tile
from dashboards.words import seconds, t, term

SIGNS = {
    "live": "●",
    "connecting": "◌",
    "stalled": "▲",
    "not_analysed": "◇",
    "failed": "✕",
    "ended": "■",
    "paused": "‖",
    "silent": "?",
    "off": "–",
}
ORDER = list(SIGNS)
LEVEL_SIGNS = {"free": "●", "slow": "◐", "congested": "▲", "jam": "■"}
LEVEL_STYLES = {"free": "live", "slow": "connecting", "congested": "stalled", "jam": "failed"}
"""of traffic, in the styles of cameras' states"""


@dataclass(frozen=True, slots=True)
class Condition:
    """A camera's state and what is to be said of it."""

    state: str
    note: str

    @property
    def sign(self) -> str:
        return SIGNS.get(self.state, "?")

    @property
    def said(self) -> str:
        return term(self.state)


def condition(camera: Camera) -> Condition:
    """A camera's state: the one it reports, "off" by the fleet file, or "silent" when no report comes.

    One whose pictures come and are not analysed is not live to who relies on what it finds: it is "not_analysed".
    """
    status = camera["status"]
    if not camera["enabled"]:
        return Condition("off", "")
    if status is None:
        return Condition("silent", t("Its process has not reported yet, or no longer."))
    if status["state"] == "live" and (why := status.get("not_analysed")):
        return Condition("not_analysed", reasons.said(why))
    return Condition(status["state"], reasons.said(status["error"]))


def frame_age_s(status: Status | None) -> float | None:
    """Age of the newest picture when the camera reported, by the camera's own clock; None without a picture."""
    if status is None or status["last_frame_s"] is None:
        return None
    return max(0.0, status["reported_s"] - status["last_frame_s"])


def said_age(status: Status | None) -> str:
    age = frame_age_s(status)
    return "–" if age is None else seconds(age)


def tile(camera: Camera, address: str | None) -> Tile:
    """A camera's place on the wall."""
    how = condition(camera)
    return Tile(
        id=camera["id"],
        name=camera["name"],
        address=address,
        state=how.state,
        sign=how.sign,
        said=how.said,
        note=how.note,
        simulated=bool(camera["status"] and camera["status"]["simulated"]),
    )


def level(code: str) -> str:
    """A level of traffic, as HTML."""
    style, sign = LEVEL_STYLES.get(code, "off"), LEVEL_SIGNS.get(code, "?")
    return f'<b class="hb-{style}" style="min-width:7em">{sign} {escape(term(code))}</b>'
