"""Whom the record names for a command: the process's own user, whatever the environment or an option says."""

import os
import pwd
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actors.promotions import PromotionRegistry, ShadowRegistry
from actors.store import AuditStore, EventStore
from cli.main import app
from hoaban.audit import AuditRecord, broken
from hoaban.evaluation.report import ModelIdentity
from hoaban.models.promotion import Step
from hoaban.shadow import ShadowOrder, ShadowStep

ME = pwd.getpwuid(os.getuid()).pw_name + "@command"
OLD, NEW = (ModelIdentity(name="street", version=v, sha256=v * 64, card="c" * 64) for v in "12")


@pytest.fixture(autouse=True)
def feigned(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    for name in ("SUDO_UID", "HOABAN_STORE_URL"):
        monkeypatch.delenv(name, raising=False)


def run(folder: Path, *arguments: str, code: int = 0) -> list[AuditRecord]:
    """What the command put on record in this folder's store, which there is."""
    EventStore.open(f"sqlite:///{folder / 'hoaban.db'}").close()
    done = CliRunner().invoke(app, [*arguments, "--data", str(folder)])
    assert done.exit_code == code, (done.output, done.exception)
    events = EventStore.open(f"sqlite:///{folder / 'hoaban.db'}")
    try:
        records = list(AuditStore(events.engine).records())
    finally:
        events.close()
    assert broken(records) == []
    return records


def test_a_variable_makes_nobody_another(tmp_path: Path) -> None:
    records = run(tmp_path, "people", "add", "Lan", "--no-password")
    assert [(record.who_name, record.outcome) for record in records] == [(ME, "begun"), (ME, "done")]
    (anchored,) = run(tmp_path, "audit", "anchor", "--reason", "a test of who")[2:]
    assert anchored.who_name == ME


def test_the_login_behind_sudo_is_told_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1")
    (record, _) = run(tmp_path, "people", "add", "Lan", "--no-password")
    assert (record.who_name, record.detail["sudo"]) == (ME, pwd.getpwuid(1).pw_name)


def test_a_rollback_is_on_record_with_who_typed_it_and_who_is_named(tmp_path: Path) -> None:
    registry = PromotionRegistry(tmp_path)
    registry.add(lambda _: Step(kind="promote", place="street", before=OLD, after=NEW, at=datetime.now(UTC), by="x"))
    records = run(tmp_path, "models", "rollback", "street", "--why", "misses cyclists", "--by", "the director")
    assert [(r.who_name, r.action, r.subject, r.reason, r.outcome) for r in records] == [
        (ME, "model.rollback", "street", "misses cyclists", outcome) for outcome in ("begun", "done")
    ]
    assert records[0].detail["decided_by"] == "the director"
    assert registry.steps()[-1].by == f"the director (typed by {ME})"
    records = run(tmp_path, "models", "rollback", "street", code=1)
    assert [record.outcome for record in records[2:]] == ["begun", "failed"]


def test_the_end_of_a_shadow_is_on_record(tmp_path: Path) -> None:
    registry = ShadowRegistry(tmp_path)
    order = ShadowOrder(candidate=NEW, at=datetime.now(UTC), by="x")
    registry.add(lambda _: ShadowStep(order=order, at=order.at, by="x"))
    records = run(tmp_path, "models", "shadow", "street@2", "--end", "--by", "the director")
    assert [(r.who_name, r.action, r.subject) for r in records] == [(ME, "model.shadow.end", "street@2")] * 2
    assert registry.steps()[-1].by == f"the director (typed by {ME})"
