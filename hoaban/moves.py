"""Cameras that leave their process for another: those of a node that is drained, and those that an upgrade replaces.

A camera is moved by being ended where it is, its counters saved, and started again where it may run. Never twice at
once: two processes would tell of the same vehicle under two names. So few are on their way at any time, and the next
goes when the last has come.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass

from hoaban.placement import SITE, Node

MOST_MOVING = 2
MOVE_LIMIT_S = 60.0
MOST_LOST = 3
"""so many that gave pictures and came to none elsewhere: the way there is the fault, and the others stay"""


@dataclass(frozen=True, slots=True)
class Seat:
    """A camera's process as it reports. era: what it was started with. settled: it has pictures."""

    node: str | None
    era: str
    settled: bool


@dataclass(frozen=True, slots=True)
class Leaving:
    """Which cameras have to go. why: camera -> the reason in words. stuck: those that can go nowhere, and why."""

    why: Mapping[str, str]
    stuck: Mapping[str, str]


def leaving(
    seats: Mapping[str, Seat],
    sites: Mapping[str, str | None],
    nodes: Sequence[Node],
    drained: Collection[str],
    era: str,
) -> Leaving:
    """The cameras that are not where, or not what, they should be.

    sites: camera -> the site that it is bound to; seats of others are ignored. drained: ids of nodes that are to carry
    nothing. era: what processes are started with now; one of another era is replaced, also where it is the only one.
    """
    open_ = [node for node in nodes if node.id not in drained and node.cpus > 0]
    offered = frozenset[str]().union(*(node.sites for node in open_))
    why: dict[str, str] = {}
    stuck: dict[str, str] = {}
    for camera, site in sites.items():
        seat = seats.get(camera)
        if seat is None:
            continue
        if seat.node in drained:
            if not open_:
                stuck[camera] = "no other node runs cameras; start one"
            elif site is not None and site not in offered:
                stuck[camera] = f"no other node offers the site {site}; start one with the resource {SITE}{site}"
            else:
                why[camera] = "its node is drained"
        elif seat.era != era:
            why[camera] = "its process is replaced"
    return Leaving(why, stuck)


class Mover:
    """Which cameras go now. Times: seconds of one clock that runs on."""

    def __init__(self, most: int = MOST_MOVING) -> None:
        self._most = most
        self._moving: dict[str, tuple[float, bool]] = {}
        self._lost: dict[str, None] = {}

    @property
    def moving(self) -> Set[str]:
        """Those on their way."""
        return self._moving.keys()

    @property
    def lost(self) -> Sequence[str]:
        """Those that gave pictures where they were and give none where they are."""
        return list(self._lost)

    @property
    def halted(self) -> str:
        """Why nobody else goes, or ""."""
        if len(self._lost) < MOST_LOST:
            return ""
        return f"{', '.join(self._lost)} came to no picture within {MOVE_LIMIT_S:.0f} s: nobody else is moved"

    def due(self, why: Mapping[str, str], seats: Mapping[str, Seat], fleet: Collection[str], now_s: float) -> list[str]:
        """Those to move now, of the ones that have to go: never more than `most` on their way, and none once halted.

        fleet: the cameras that there are; one that is removed on its way is awaited no longer.
        """
        self._moving = {camera: since for camera, since in self._moving.items() if camera in fleet}
        for camera, (since_s, was_settled) in list(self._moving.items()):
            seat = seats.get(camera)
            if camera not in why and seat is not None and (seat.settled or not was_settled):
                del self._moving[camera]
            elif now_s - since_s > MOVE_LIMIT_S:
                del self._moving[camera]
                if was_settled:
                    self._lost[camera] = None
        self._lost = {
            camera: None
            for camera in self._lost
            if camera in fleet and (camera not in seats or not seats[camera].settled)
        }
        if self.halted:
            return []
        waiting = [camera for camera in why if camera not in self._moving and camera not in self._lost]
        due = waiting[: max(0, self._most - len(self._moving))]
        self._moving |= {camera: (now_s, seats[camera].settled) for camera in due}
        return due
