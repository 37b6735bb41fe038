"""The access file, and what becomes of an older store's tokens."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from typer.testing import CliRunner

import actors.store
from actors.access_file import AccessFileError, load_access
from actors.store import EventStore, PeopleStore
from cli.main import app
from hoaban.access import Grant, Role, Scope
from hoaban.access.settings import AccessSettings

GOOD = """\
oidc:
  issuer: https://id.example.vn/realms/province
  audience: hoaban
  grants:
    - {claim: groups, value: operators, role: operator}
    - {claim: unit, value: traffic, role: officer, districts: [dbp]}
limits: {per_person: 100/minute}
misuse: {day_unmasks: 3}
trusted_proxies: [10.0.0.2]
"""


def test_what_the_file_says_is_what_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.yaml"
    path.write_text(GOOD)
    monkeypatch.setenv("HOABAN_ACCESS", str(path))
    settings = load_access()
    assert (settings.limits.per_person, settings.misuse.day_unmasks) == ("100/minute", 3)
    assert settings.oidc is not None
    operator, officer = Grant(Role.OPERATOR), Grant(Role.OFFICER, Scope(districts=frozenset({"dbp"})))
    assert settings.oidc.grants_of({"groups": ["x", "operators"], "unit": "traffic"}) == (operator, officer)
    assert settings.oidc.grants_of({"groups": "operators"}) == (operator,)
    assert settings.oidc.grants_of({"groups": "all operators of the world", "unit": None}) == ()
    monkeypatch.delenv("HOABAN_ACCESS")
    assert load_access() == AccessSettings()


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("https://id", "http://id", 2, "oidc.issuer: the issuer must be https://"),
        ("role: operator", "role: emperor", 5, "oidc.grants.0.role"),
        ("audience: hoaban", "audience: ''", 3, "oidc.audience"),
        ("100/minute", "a lot", 7, "limits.per_person"),
        ("day_unmasks: 3", "day_unmask: 3", 8, "misuse.day_unmask"),
        ("audience: hoaban", "audience: hoaban\n  algorithms: [HS256]", 4, "HS256: not taken"),
        ("audience: hoaban", "audience: hoaban\n  algorithms: [none]", 4, "none: not taken"),
        ("trusted_proxies: [", "trusted_proxies: ]", 9, "not YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int, told: str) -> None:
    path = tmp_path / "access.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(AccessFileError) as refused:
        load_access(path)
    first = str(refused.value).splitlines()[0]
    assert first.startswith(f"{path}:{line}: "), first
    assert told in first


SIGN_IN = """\
  sign_in:
    client_id: hoaban
    client_secret: ${OIDC_SECRET}
    callback: https://hoaban.example.vn/api/v1/auth/oidc/callback
    dashboard: https://hoaban.example.vn/
"""


def test_the_clients_secret_comes_from_the_environment_and_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.yaml"
    path.write_text(GOOD.replace("  grants:", SIGN_IN + "  grants:", 1))
    monkeypatch.setenv("OIDC_SECRET", "only here")
    settings = load_access(path)
    assert settings.oidc is not None
    assert settings.oidc.sign_in is not None
    assert settings.oidc.sign_in.client_secret is not None
    assert settings.oidc.sign_in.client_secret.get_secret_value() == "only here"
    assert "only here" not in repr(settings)
    assert "only here" not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("OIDC_SECRET", "NOT_SET", 6, "NOT_SET is not set"),
        ("${OIDC_SECRET}", "written-here", 6, "a secret stands in no file"),
        ("callback: https", "callback: http", 7, "must be https://"),
        ("oidc/callback", "oidc", 4, "callback must end with /auth/oidc/callback"),
        ("dashboard: https://hoaban.", "dashboard: https://page.", 4, "the same host"),
        ("vn/\n", "vn/?next=x\n", 8, "without ? and #"),
        ("dashboard:", "scopes: [profile]\n    dashboard:", 4, "scopes must have openid"),
        ("client_id: hoaban", "client: hoaban", 5, "sign_in.client"),
    ],
)
def test_what_is_wrong_with_the_sign_in_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, line: int, told: str
) -> None:
    path = tmp_path / "access.yaml"
    monkeypatch.setenv("OIDC_SECRET", "only here")
    monkeypatch.delenv("NOT_SET", raising=False)
    assert old in SIGN_IN
    path.write_text(GOOD.replace("  grants:", SIGN_IN.replace(old, new, 1) + "  grants:", 1))
    with pytest.raises(AccessFileError) as refused:
        load_access(path)
    assert any(said.startswith(f"{path}:{line}: ") and told in said for said in str(refused.value).splitlines()), (
        refused.value
    )
    assert "written-here" not in str(refused.value)


def test_up_says_what_is_wrong_before_it_starts_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.yaml"
    path.write_text(GOOD.replace("role: operator", "role: emperor"))
    monkeypatch.setenv("HOABAN_ACCESS", str(path))
    done = CliRunner().invoke(app, ["up", "--data", str(tmp_path / "data"), "--no-dashboard", "--for", "0"])
    assert (done.exit_code, f"{path}:5: " in done.output) == (2, True)
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(AccessFileError, match="cannot be read"):
        load_access(tmp_path / "none.yaml")


def test_the_tokens_of_an_older_store_keep_their_role_and_no_more(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(Path(actors.store.__file__).parent / "migrations"))
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"  # of "test"
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003_counting")
        values = "('a', 'old', :digest, 'admin', '2026-01-01 00:00:00', 0)"
        old = sa.text(f"INSERT INTO api_tokens (id, name, sha256, role, created, revoked) VALUES {values}")
        connection.execute(old, {"digest": digest})
    engine.dispose()
    store = EventStore.open(url)
    people = PeopleStore(store.engine)
    holder = people.verify("test")
    assert holder is not None
    assert (holder.person.name, holder.person.grants) == ("old", (Grant(Role.ADMIN),))
    assert people.tokens()[0].created_by is None
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003_counting")
        columns = {column["name"] for column in sa.inspect(connection).get_columns("api_tokens")}
    assert "role" in columns
    assert "created_by" not in columns
