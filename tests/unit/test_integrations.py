"""What leaves the system: nothing an owner does not allow, no name of a watchlist, to no address of ours."""

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.integrations.file import load_integrations
from actors.settings_file import SettingsFileError
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.frames import FrameMeta
from hoaban.integrations import WebhookTarget, leaves
from hoaban.integrations.guard import refusal
from hoaban.integrations.onvif import FAULT_TOPICS, TOPICS
from hoaban.integrations.retry import FIRST_S, MOST_S, pause_s
from hoaban.withheld import OF_LISTS

PROVENANCE = Provenance(ModelRef("m", "1", "d"), "c", "0")
CAMERA = {"id": "gate", "district": "north", "owner": "ward"}


def event(kind: str = "intrusion", **more: Any) -> Event:
    finding = Finding(kind, "r", track=7, label="person", zone="yard", **more)
    return bind(finding, FrameMeta("gate", 3, 1000.0, 10, 10), "shared", PROVENANCE)


def target(**more: Any) -> WebhookTarget:
    return WebhookTarget.model_validate({"id": "t", "url": "https://a.example/x", "secret_env": "S"} | more)


@pytest.mark.parametrize("format", ["cloudevents", "onvif"])
@pytest.mark.parametrize("kind", sorted(OF_LISTS))
def test_no_name_of_a_watchlist_leaves(kind: str, format: str) -> None:
    hit = event(kind.removeprefix("hoaban."), extra={"subject": "SECRET-NAME", "plate": "27A-SECRET"})
    document = leaves(hit, CAMERA, target(format=format))
    assert document is not None
    assert "SECRET" in hit.to_json()
    assert "SECRET" not in str(document)


def test_terms_of_the_owner_bind_what_leaves() -> None:
    closed = CAMERA | {"terms": {"viewers": ["police"]}}
    assert leaves(event(), closed, target()) is None
    assert leaves(event(), closed, target(agency="fire")) is None
    assert leaves(event(), closed, target(agency="police")) is not None
    assert leaves(event(), closed, target(agency="ward")) is not None  # its owner
    assert leaves(event(), None, target()) is None  # a camera of which nobody knows the terms any more


def test_a_target_has_what_it_asks_for() -> None:
    assert leaves(event(), CAMERA, target(types=["hoaban.red_light"])) is None
    assert leaves(event(), CAMERA, target(cameras=["other"])) is None
    assert leaves(event(), CAMERA, target(districts=["south"])) is None
    found = leaves(event(), CAMERA, target(types=["hoaban.intrusion"], cameras=["gate"], districts=["north"]))
    assert found == event().to_cloudevent()


def test_onvif_terms() -> None:
    found = leaves(event(), CAMERA, target(format="onvif"))
    assert found is not None
    assert found["Topic"] == "tns1:RuleEngine/FieldDetector/ObjectsInside"
    assert found["Source"] == {"VideoSource": "gate", "Rule": "r"}
    assert found["Key"] == {"ObjectId": 7}
    assert found["Data"]["IsInside"] is True
    own = leaves(event("abandoned_object"), CAMERA, target(format="onvif"))
    assert own is not None
    assert own["Topic"] == "tns1:RuleEngine/HoaBan/AbandonedObject"
    dark = leaves(event("camera_health", extra={"fault": "dark", "phase": "start"}), CAMERA, target(format="onvif"))
    assert dark is not None
    assert dark["Topic"] == "tns1:VideoSource/ImageTooDark/AnalyticsService"
    assert dark["Data"]["State"] is True


def test_the_onvif_table_names_rules_and_faults_that_there_are() -> None:
    from hoaban.stream_health import DOWN

    rules = Path("hoaban/rules")
    assert all((rules / f"{kind.removeprefix('hoaban.')}.py").exists() for kind in TOPICS)
    text = (rules / "camera_health.py").read_text()
    assert all(fault in DOWN or f'"{fault}"' in text for fault in FAULT_TOPICS)


@given(st.ip_addresses())
def test_an_address_that_is_not_public_is_refused(address: Any) -> None:
    if not ip_address(address).is_global:
        assert refusal([str(address)], ())


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%eth0", "0.0.0.0", "224.0.0.1"],
)
def test_ways_into_our_own_networks_are_refused(address: str) -> None:
    assert refusal([address], ())
    assert refusal(["8.8.8.8", address], ())
    assert refusal([address], [ip_network("192.0.2.0/24")])


def test_a_network_that_is_named_may_be_reached() -> None:
    assert refusal(["10.20.1.1"], [ip_network("10.20.0.0/16")]) is None
    assert refusal(["8.8.8.8"], ()) is None
    assert refusal([], ())


@given(st.integers(1, 1000), st.floats(0, 1))
def test_pauses_grow_to_a_bound(failures: int, jitter: float) -> None:
    assert FIRST_S / 2 <= pause_s(failures, jitter) <= MOST_S
    assert pause_s(failures + 1, jitter) >= pause_s(failures, jitter)


def load(tmp_path: Path, text: str, **environment: str) -> Any:
    (tmp_path / "i.yaml").write_text(text)
    return load_integrations({"HOABAN_INTEGRATIONS": str(tmp_path / "i.yaml")} | environment)


def test_the_file_is_read_and_its_faults_are_told_with_their_lines(tmp_path: Path) -> None:
    good = "webhooks:\n  - {id: a, url: 'https://a.example/x', secret_env: HOOK}\n"
    settings, secrets = load(tmp_path, good, HOOK="whsec_" + "QUJD" * 8)
    assert [one.id for one in settings.targets] == ["a"]
    assert "QUJD" not in repr((settings, secrets))
    assert load_integrations({})[0].targets == ()
    for text, words in (
        (good, "HOOK is not set"),
        (good.replace("https", "http"), "i.yaml:2: webhooks.0: url: http:// is for addresses in `networks` alone"),
        (good.replace("//a.", "//u:p@a."), "no user or password"),
        (good + "mqtt:\n  - {id: a, host: h}\n", "given to two targets"),
        (good + "mqtt:\n  - {id: b, host: h, tls: false}\n", "i.yaml:4: mqtt.0: tls: false"),
        (good + "mqtt:\n  - {id: b, hots: h}\n", "i.yaml:4: mqtt.0.hots"),
    ):
        with pytest.raises(SettingsFileError) as refused:
            load(tmp_path, text, **({} if "not set" in words else {"HOOK": "whsec_" + "QUJD" * 8}))
        assert words in str(refused.value)
    with pytest.raises(SettingsFileError, match="no secret of the form"):
        load(tmp_path, good, HOOK="whsec_!")
