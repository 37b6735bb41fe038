"""Tokens of an OpenID Connect provider, and its authorization code flow: signature, issuer, audience and times checked.

Bearer tokens are looked at by `Provider.claims`; people who sign in go through `Provider.begin` and `Provider.end`.
"""

import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from hoaban.access.settings import OidcSettings, SignInSettings

log = structlog.get_logger(__name__)
KEYS_LIVE_S = 3600.0
REFETCH_S = 10.0
"""a token with a key that is not known has the keys fetched anew, so a rotation needs no restart; not more often"""
TIMEOUT_S = 5.0


class ProviderAwayError(Exception):
    """The provider does not answer, and its keys are not known."""


class RefusedError(Exception):
    """A sign-in that the provider refused, or that is not good; the message is for the log and the audit."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that began: what the browser must not know. verifier: of PKCE."""

    state: str
    nonce: str
    verifier: str


class Provider:
    """One provider. Waits for the network when keys are due: not for an event loop. Thread safe."""

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._found: dict[str, Any] = {}
        self._fetched_s = self._tried_s = float("-inf")
        self._claims = self._wanted(settings.audience)

    def _wanted(self, audience: str, **more: Any) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            leeway=int(self.settings.leeway_s),
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
            **more,
        )

    def claims(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that this provider signed for us and that is valid now; None for any other.

        Raises ProviderAwayError.
        """
        return self._checked(token, self._claims)

    def begin(self) -> tuple[str, Attempt]:
        """The address at the provider to send a browser to, and what to remember of it. Raises ProviderAwayError."""
        attempt = Attempt(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(64))
        with self._client() as client:
            address, _ = client.create_authorization_url(
                self._endpoint("authorization_endpoint"),
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
            )
        return str(address), attempt

    def end(self, code: str, attempt: Attempt) -> dict[str, Any]:
        """The claims of who signed in, for the code that the provider sent the browser back with.

        Raises RefusedError; ProviderAwayError.
        """
        where = self._endpoint("token_endpoint")
        try:
            with self._client() as client:
                given = client.fetch_token(where, code=code, code_verifier=attempt.verifier)
        except (AuthlibBaseError, ValueError) as error:
            raise RefusedError(f"the provider gave no token: {error}"[:300]) from None
        except httpx.HTTPError as error:
            raise ProviderAwayError(f"{self.settings.issuer} does not answer; sign in again later") from error
        nonce = {"essential": True, "value": attempt.nonce}
        client_id = self._sign_in.client_id
        claims = self._checked(str(given.get("id_token")), self._wanted(client_id, nonce=nonce))
        if claims is None:
            raise RefusedError("the provider's ID token is not good, or not for this sign-in")
        if claims.get("azp", client_id) != client_id:
            raise RefusedError("the provider's ID token was made for another (azp)")
        return claims

    @property
    def _sign_in(self) -> SignInSettings:
        if self.settings.sign_in is None:
            raise RefusedError("nobody signs in at the provider here (oidc.sign_in)")
        return self.settings.sign_in

    def _client(self) -> OAuth2Client:
        wanted = self._sign_in
        secret = wanted.client_secret.get_secret_value() if wanted.client_secret else None
        return OAuth2Client(
            wanted.client_id,
            secret,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            scope=" ".join(wanted.scopes),
            redirect_uri=wanted.callback,
            code_challenge_method="S256",
            timeout=TIMEOUT_S,
            follow_redirects=False,
        )

    def _endpoint(self, name: str) -> str:
        self._known()
        address = str(self._found.get(name, ""))
        parts = urlsplit(address)
        if parts.scheme != "https" and parts.scheme != urlsplit(self.settings.issuer).scheme:
            raise RefusedError(f"the provider's {name} is not https")
        return address

    def _checked(self, token: str, wanted: jwt.JWTClaimsRegistry) -> dict[str, Any] | None:
        for _ in range(2):
            keys, fetched_s = self._known(), self._fetched_s
            try:
                decoded = jwt.decode(token, keys, algorithms=list(self.settings.algorithms))
                wanted.validate(decoded.claims)
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
                self._found, self._fetched_s = found, time.monotonic()
        except (httpx.HTTPError, httpx.InvalidURL, JoseError, ValueError, KeyError, TypeError) as error:
            # Keys that are known already are good for longer than a provider is away.
            log.warning("the provider's keys could not be fetched", issuer=issuer, why=str(error))
