"""Bearer tokens of an OpenID Connect provider: signature, issuer, audience and times checked, claims made grants."""

import threading
import time
from typing import Any

import httpx
import structlog
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from hoaban.access.settings import OidcSettings

log = structlog.get_logger(__name__)
KEYS_LIVE_S = 3600.0
REFETCH_S = 10.0
"""a token with a key that is not known has the keys fetched anew, so a rotation needs no restart; not more often"""
TIMEOUT_S = 5.0


class ProviderAwayError(Exception):
    """The provider does not answer, and its keys are not known."""


class Provider:
    """One provider. Waits for the network when keys are due: not for an event loop. Thread safe."""

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._fetched_s = self._tried_s = float("-inf")
        self._claims = jwt.JWTClaimsRegistry(
            leeway=int(settings.leeway_s),
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "value": settings.audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    def claims(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that this provider signed for us and that is valid now; None for any other.

        Raises ProviderAwayError.
        """
        for _ in range(2):
            keys, fetched_s = self._known(), self._fetched_s
            try:
                decoded = jwt.decode(token, keys, algorithms=list(self.settings.algorithms))
                self._claims.validate(decoded.claims)
                return dict(decoded.claims)
            except (JoseError, ValueError, TypeError) as error:
                # A signature that no known key made may be one of a key that is new.
                unknown_key = isinstance(error, InvalidKeyIdError | BadSignatureError)
                if not unknown_key or not self._refetch(fetched_s):
                    log.info("a provider's token was refused", why=f"{type(error).__name__}: {error}"[:200])
                    return None
        return None

    def _known(self) -> KeySet:
        with self._lock:
            if self._keys is None or time.monotonic() - self._fetched_s > KEYS_LIVE_S:
                self._fetch()
            if self._keys is None:
                raise ProviderAwayError(f"{self.settings.issuer} does not answer; sign in again later")
            return self._keys

    def _refetch(self, before_s: float) -> bool:
        """Whether there are newer keys than those of then."""
        with self._lock:
            if self._fetched_s > before_s:
                return True
            if time.monotonic() - self._tried_s < REFETCH_S:
                return False
            self._fetch()
            return self._fetched_s > before_s

    def _fetch(self) -> None:
        self._tried_s = time.monotonic()
        issuer = self.settings.issuer
        try:
            with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client:
                found = client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration").raise_for_status().json()
                if found.get("issuer") != issuer:
                    raise ValueError(f"it says its issuer is {found.get('issuer')!r}")
                self._keys = KeySet.import_key_set(client.get(found["jwks_uri"]).raise_for_status().json())
                self._fetched_s = time.monotonic()
        except (httpx.HTTPError, httpx.InvalidURL, JoseError, ValueError, KeyError, TypeError) as error:
            # Keys that are known already are good for longer than a provider is away.
            log.warning("the provider's keys could not be fetched", issuer=issuer, why=str(error))
