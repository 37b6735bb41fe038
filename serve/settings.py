"""What the API must know; plain values, so that a Serve replica can be handed them."""

from dataclasses import dataclass, field

from actors import NAMESPACE
from hoaban.access.settings import AccessSettings


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """ticket_secret signs the addresses of live pictures. dashboard_origins may read the API in a browser.

    data_dir: where the watchlist's key lies when HOABAN_WATCHLIST_KEY does not give it, and the evidence's keys.
    evidence_url: where evidence packages are; by default evidence in data_dir.
    viewer_secret: under which the dashboard says whose browser it speaks for; none: nobody says so.
    fleet_files: that the system runs from, and in which zones and lines may be changed.
    """

    store_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    ticket_secret: str = field(repr=False)
    dashboard_origins: tuple[str, ...] = ()
    viewer_secret: str | None = field(default=None, repr=False)
    ray_namespace: str = NAMESPACE
    data_dir: str | None = None
    evidence_url: str | None = None
    fleet_files: tuple[str, ...] = ()
    access: AccessSettings = field(default_factory=AccessSettings)
