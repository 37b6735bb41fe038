"""What the API must know; plain values, so that a Serve replica can be handed them."""

from dataclasses import dataclass, field

from actors import NAMESPACE
from hoaban.access.settings import AccessSettings


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """ticket_secret signs the addresses of live pictures. dashboard_origins may read the API in a browser.

    data_dir: where the watchlist's key lies when HOABAN_WATCHLIST_KEY does not give it.
    """

    store_url: str
    redis_url: str
    ticket_secret: str
    dashboard_origins: tuple[str, ...] = ()
    ray_namespace: str = NAMESPACE
    data_dir: str | None = None
    access: AccessSettings = field(default_factory=AccessSettings)
