"""The chain of erasures' records, and the command that checks it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from actors.proof.keys import Keys
from actors.retention import Eraser
from actors.store import AuditStore
from actors.store.erasures import erasures
from cli.main import app
from hoaban.evidence import manifest as m
from hoaban.evidence.erasures import Record, broken
from tests.unit.test_retention import OFFICER, SIGNER, TRUSTED, System


def record(number: int, previous: Record | None) -> Record:
    about = {"key": SIGNER.id, "at": "2026-01-01T00:00:00Z", "rule": "r", "by": "b", "basis": "x"}
    named = m.digest(previous.manifest) if previous else None
    body = m.canonical(m.of_erasure(f"e{number}", **about, previous=named, erased=[{"what": "event", "id": "i"}]))
    return Record(number, f"e{number}", body, SIGNER.sign(body))


def chain(length: int) -> list[Record]:
    made: list[Record] = []
    for number in range(1, length + 1):
        made.append(record(number, made[-1] if made else None))
    return made


CHAIN = chain(5)
HEAD = m.digest(CHAIN[-1].manifest)


def test_a_whole_chain_is_sound() -> None:
    assert (
        broken(CHAIN, TRUSTED, HEAD) == broken(CHAIN, TRUSTED, m.digest(CHAIN[2].manifest)) == broken([], TRUSTED) == []
    )


def test_of_an_earlier_version_one_may_be_named_by_none() -> None:
    first = record(1, None)
    late = record(2, first)  # begun before the first, cut off, and finished when that was there
    after = record(3, first)
    assert broken([first, late, after, record(4, after)], TRUSTED, m.digest(after.manifest)) == []
    assert "does not follow" in broken([first, replace(after, number=2), record(3, late)], TRUSTED)[0]
    assert broken([first, record(2, None)], TRUSTED)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_change_of_a_chain_is_found(data: st.DataObject) -> None:
    changed = list(CHAIN)
    at = data.draw(st.integers(0, 4))
    match data.draw(st.sampled_from(["flip", "gone", "twice", "swap", "renumbered"])):
        case "flip":
            name = data.draw(st.sampled_from(["manifest", "signature"]))
            text = bytearray(getattr(changed[at], name))
            text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(1, 255))
            changed[at] = replace(changed[at], **{name: bytes(text)})
        case "gone":
            del changed[at]
        case "twice":
            changed.insert(at, changed[at])
        case "swap":
            changed[at], changed[at - 1] = changed[at - 1], changed[at]
        case "renumbered":  # taken out, and the others moved up
            del changed[at]
            changed = [replace(one, number=number) for number, one in enumerate(changed, 1)]
    assert broken(changed, TRUSTED, HEAD)


def test_the_command_checks_the_chain_and_what_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOABAN_STORE_URL", raising=False)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "ours.pem").write_bytes(SIGNER.public_pem())
    system = System(tmp_path, f"sqlite:///{tmp_path / 'hoaban.db'}")
    case = system.case(20000, retention_days=1)
    system.event(100, days=1)
    assert system.purge(20002) == 2

    def run(*more: str) -> tuple[int, dict]:
        told = ["--data", str(tmp_path), "--keys", str(tmp_path / "keys"), "--json", *more]
        done = CliRunner().invoke(app, ["evidence", "verify-erasures", *told])
        return done.exit_code, json.loads(done.stdout)

    code, sound = run()
    assert (code, sound["sound"], sound["records"]) == (0, True, 2)
    assert run("--head", sound["head"])[0] == 0
    assert run("--head", "0" * 64)[0] == 1
    with system.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE evidence SET state = 'open'")
    assert run()[1]["wrong"] == [f"case {case} is not erased, and a record says it is"]
    with system.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE erasures SET rule = 'x', manifest = X'7b7d' WHERE number = 1")
    assert run()[0] == 1
    system.store.close()


def test_an_erasure_that_was_never_signed_is_vouched_for_once_and_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOABAN_STORE_URL", raising=False)
    system = System(tmp_path, f"sqlite:///{tmp_path / 'hoaban.db'}")
    about = {"rule": "r", "basis": "b", "by_name": "n", "begun_s": 1.0}
    cut = [{"what": "audit", "through": 1, "digest": "0", "count": 1}]
    with system.store.engine.begin() as connection:
        for id, plan in (("old", [{"what": "event", "id": "gone", "sha256": "0"}]), ("cut", cut)):
            connection.execute(sa.insert(erasures).values(about | {"id": id, "plan": plan}))

    def run(*told: str) -> int:
        done = CliRunner().invoke(app, ["evidence", "vouch-erasure", *told, "--data", str(tmp_path)])
        return done.exit_code

    old, cut_off = (["--plan", system.retention.erasure(id).sha256] for id in ("old", "cut"))
    why = ("--reason", "begun before the upgrade")
    assert run("old", *old, "--reason", " ") == 2
    assert run("old", *why) == 2
    assert run("none", *old, *why) == 2
    assert run("cut", *cut_off, *why) == 2
    assert run("old", *old, *why) == 0
    assert run("old", *old, *why) == 2
    keys = Keys(tmp_path)
    assert Eraser(system.retention, system.records, system.files, keys).finish() == 1
    assert system.retention.erasure("old").done_s is not None
    assert system.retention.erasure("cut").signature is None
    told = [(one.subject, one.outcome) for one in AuditStore(system.store.engine).records() if "vouch" in one.action]
    once = [("cut", "begun"), ("cut", "failed"), ("old", "begun"), ("old", "done")]
    assert told == [*once, ("old", "begun"), ("old", "failed")]
    system.store.close()


def test_what_is_signed_is_what_was_looked_at_and_nothing_that_a_hold_keeps(tmp_path: Path) -> None:
    system = System(tmp_path, f"sqlite:///{tmp_path / 'hoaban.db'}")
    case, event, other = system.case(20000), system.event(100), system.event(101)
    about = {"rule": "r", "basis": "b", "by_name": "n", "begun_s": 1.0}
    plans = {
        "case": [{"what": "evidence", "id": case}],
        "clip": [{"what": "file", "id": case, "name": "clip.mp4"}],
        "event": [{"what": "event", "id": event, "sha256": "0"}],
        "changed": [{"what": "event", "id": event, "sha256": "0"}],
    }
    with system.store.engine.begin() as connection:
        for id, plan in plans.items():
            connection.execute(sa.insert(erasures).values(about | {"id": id, "plan": plan}))
    seen = {id: system.retention.erasure(id).sha256 for id in plans}
    with system.store.engine.begin() as connection:
        another = [{"what": "event", "id": other, "sha256": "0"}]
        connection.execute(sa.update(erasures).where(erasures.c.id == "changed").values(plan=another))
    with pytest.raises(ValueError, match="not what was looked at"):
        system.eraser.vouch("changed", seen["changed"])
    holds = [system.retention.hold("evidence", id, "court order", OFFICER) for id in (case, event)]
    for id in ("case", "clip", "event"):
        with pytest.raises(ValueError, match="a legal hold keeps"):
            system.eraser.vouch(id, seen[id])
    assert system.retention.records() == []
    for hold in holds:
        assert system.retention.lift(hold.id, "withdrawn", OFFICER)
    system.eraser.vouch("event", seen["event"])
    with pytest.raises(ValueError, match="has a record"):
        system.eraser.vouch("event", seen["event"])
    assert system.eraser.finish() == 1
    assert event not in system.left()
    system.store.close()
