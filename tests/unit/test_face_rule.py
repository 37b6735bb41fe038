"""What the fleet file may and may not say about faces."""

import json

import pytest
import yaml

from hoaban.fleet import Fleet
from hoaban.fleet_text import FleetErrors, parse_fleet
from tests.faces import ALL, BASIS, face_rule


def fleet(rule: dict[str, object], role: str = "face_crowd", **camera: object) -> str:
    base = {"id": "square", "name": "Square", "role": role, "district": "d", "owner": "o", "source": "a.mp4"}
    document = {
        "version": 1,
        "province": {"name": "P"},
        "districts": [{"id": "d", "name": "D"}],
        "agencies": [{"id": "o", "name": "O"}],
        "cameras": [base | {"zones": [ALL], "rules": [rule]} | camera],
    }
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False)


def refused(text: str) -> str:
    with pytest.raises(FleetErrors) as errors:
        parse_fleet([("f.yaml", text)], {})
    return str(errors.value)


def test_a_lawful_face_rule_is_taken_with_its_model() -> None:
    parsed: Fleet = parse_fleet([("f.yaml", fleet(face_rule()))], {})
    camera = parsed.cameras[0]
    assert camera.face_model == "faces"
    assert camera.face_rules[0].name == "face_watchlist:all"
    again = Fleet.model_validate(json.loads(parsed.model_dump_json(by_alias=True)))
    assert again.cameras[0].digest() == camera.digest()


def test_cameras_without_a_face_rule_have_no_face_model() -> None:
    parsed = parse_fleet([("f.yaml", fleet({"type": "camera_health"}))], {})
    assert parsed.cameras[0].face_model is None


def test_no_search_without_a_lawful_basis() -> None:
    rule = face_rule()
    del rule["lawful_basis"]
    assert "cameras[0].rules[0].lawful_basis: is missing" in refused(fleet(rule))
    for key in BASIS:
        rule = face_rule(lawful_basis={k: v for k, v in BASIS.items() if k != key})
        assert f"lawful_basis.{key}: is missing" in refused(fleet(rule))
    assert "lawful_basis.document" in refused(fleet(face_rule(lawful_basis=BASIS | {"document": ""})))


@pytest.mark.parametrize("role", ["overview", "traffic_counting", "neighbourhood", "shared", "traffic_enforcement"])
def test_faces_are_searched_on_face_cameras_only(role: str) -> None:
    message = refused(fleet(face_rule(), role))
    assert "f.yaml:" in message
    assert f"role face_crowd only, this one is '{role}'; remove the rule" in message


@pytest.mark.parametrize("until", ["2027-06-30", "2027-06-30T10:00:00", "soon"])
def test_a_basis_ends_at_an_hour_of_a_zone(until: str) -> None:
    assert "lawful_basis.valid_until" in refused(fleet(face_rule(lawful_basis=BASIS | {"valid_until": until})))
    plain = fleet(face_rule()).replace("'2099-01-01T00:00:00+07:00'", until)
    assert "lawful_basis.valid_until" in refused(plain)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"watchlist": []}, "watchlist"),
        ({"threshold": 1.5}, "threshold"),
        ({"zone": "nowhere"}, "no zone 'nowhere'"),
        ({"secret": 1}, "unknown key"),
    ],
)
def test_a_wrong_face_rule_is_refused_in_words(change: dict[str, object], words: str) -> None:
    assert words in refused(fleet(face_rule(**change)))
