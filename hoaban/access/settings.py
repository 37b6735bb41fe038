"""The access file: who signs in where, how much one may ask, and what counts as unusual."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from hoaban.access.misuse import MisuseSettings
from hoaban.access.person import Grant, Scope
from hoaban.access.roles import Role
from hoaban.shapes import Id, Strict

Limit = Annotated[str, Field(pattern=r"^[1-9][0-9]* */ *([1-9][0-9]* *)?(second|minute|hour)s?$")]
CALLBACK = "/auth/oidc/callback"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""signatures that only the holder of a private key can make"""


class ClaimGrant(Strict):
    """Who has this value in this claim has this role, in this part of the province."""

    claim: str = Field(min_length=1, examples=["groups"])
    value: str = Field(min_length=1)
    role: Role
    districts: tuple[Id, ...] | None = None
    agencies: tuple[Id, ...] | None = None
    cameras: tuple[Id, ...] | None = None

    def grant(self) -> Grant:
        def names(given: tuple[str, ...] | None) -> frozenset[str] | None:
            return None if given is None else frozenset(given)

        return Grant(self.role, Scope(names(self.districts), names(self.agencies), names(self.cameras)))


def _safe(value: str, what: str) -> str:
    """Raises ValueError for an address that is not https, but for one on this machine."""
    parts = urlsplit(value)
    if not (parts.scheme == "https" and parts.hostname) and not (
        parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    ):
        raise ValueError(f"{what} must be https:// (http:// on this machine alone)")
    return value


class SignInSettings(Strict):
    """How people sign in at the provider from the dashboard: authorization code flow with PKCE (S256)."""

    client_id: str = Field(min_length=1, description="as which the API is registered at the provider")
    client_secret: SecretStr | None = Field(
        None, description="${NAME} of a variable in the environment of `hoaban up`; none: a public client"
    )
    callback: str = Field(description="this API's …/api/v1/auth/oidc/callback as browsers reach it, registered there")
    dashboard: str = Field(description="the dashboard as browsers reach it; under the same host as callback")
    scopes: tuple[str, ...] = ("openid", "profile")

    @field_validator("callback", "dashboard")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if "?" in value or "#" in value:
            raise ValueError("an address without ? and #")
        return _safe(value, "the address")

    @model_validator(mode="after")
    def _fits(self) -> "SignInSettings":
        if not self.callback.endswith(CALLBACK):
            raise ValueError(f"callback must end with {CALLBACK}")
        if urlsplit(self.callback).hostname != urlsplit(self.dashboard).hostname:
            raise ValueError("callback and dashboard must have the same host: one cookie binds both to the browser")
        if "openid" not in self.scopes:
            raise ValueError("scopes must have openid")
        return self


class OidcSettings(Strict):
    """An OpenID Connect provider whose signed tokens are taken as bearer tokens.

    sign_in: people of it also sign in from the dashboard.
    """

    issuer: str = Field(description="its address, as it stands in its tokens: https://…")
    audience: str = Field(min_length=1, description="what its tokens for this API name as aud")
    grants: tuple[ClaimGrant, ...] = Field(min_length=1)
    name_claim: str = "preferred_username"
    agency_claim: str | None = None
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    leeway_s: float = Field(30.0, ge=0, le=300, description="how far its clock may be off")
    sign_in: SignInSettings | None = None

    @field_validator("issuer")
    @classmethod
    def _is_safe(cls, value: str) -> str:
        return _safe(value, "the issuer")

    @field_validator("algorithms")
    @classmethod
    def _are_signatures(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := sorted(set(value) - set(ALGORITHMS)):
            raise ValueError(f"{', '.join(wrong)}: not taken; use some of {', '.join(ALGORITHMS)}")
        return value

    def grants_of(self, claims: dict[str, Any]) -> tuple[Grant, ...]:
        """What the claims of a token give; a claim is one text or a list of them."""

        def has(wanted: ClaimGrant) -> bool:
            given = claims.get(wanted.claim)
            return wanted.value in given if isinstance(given, list) else wanted.value == given

        return tuple(wanted.grant() for wanted in self.grants if has(wanted))


class LimitSettings(Strict):
    """How much one may ask of each replica of the API.

    A wall of 40 cameras asks for some 80 pictures a second, and several people may sit behind one address.
    """

    per_address: Limit = "12000/minute"
    per_person: Limit = "9000/minute"
    wrong_passwords_per_name: Limit = Field("10/15 minutes", description="from one address")
    wrong_passwords_per_name_everywhere: Limit = Field(
        "100/15 minutes", description="from all addresses from which this person has not signed in lately"
    )
    wrong_passwords_per_address: Limit = "50/15 minutes"


class AccessSettings(Strict):
    oidc: OidcSettings | None = None
    limits: LimitSettings = LimitSettings()
    misuse: MisuseSettings = MisuseSettings()
    trusted_proxies: tuple[str, ...] = Field(
        (), description="addresses of front proxies whose X-Forwarded-For says who asks"
    )
    dashboard_proxies: int | None = Field(
        None,
        ge=0,
        le=10,
        description="so many machines that each add to X-Forwarded-For stand before the dashboard; 0: browsers "
        "reach it themselves; none: not known, and taken as 0",
    )
    citizen_proxies: int = Field(
        0,
        ge=0,
        le=10,
        description="behind so many machines that each add to X-Forwarded-For are citizens, counted from the right of "
        "it; 0: the address that asks is the citizen's, whatever the header says",
    )
