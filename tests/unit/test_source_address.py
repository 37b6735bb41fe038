"""A source's secrets: in the whole address, and in nothing else that can be made of it."""

import json
import pickle
import string
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hoaban.fleet import Camera, Fleet
from hoaban.fleet_text import FleetErrors, env_names, parse_fleet
from hoaban.source_address import SourceAddress

WRITTEN = "rtsp://viewer:${PW}@10.0.0.5/live"
FLEET = (
    "version: 1\nprovince: {name: X}\ndistricts: [{id: d, name: D}]\nagencies: [{id: o, name: O}]\n"
    "cameras: [{id: c, name: C, role: shared, district: d, owner: o, source: 'SOURCE', MORE}]\n"
)


def fleet(source: str, env: dict[str, str] | None = None, more: str = "enabled: true") -> Fleet:
    return parse_fleet([("f.yaml", FLEET.replace("SOURCE", source).replace("MORE", more))], env or {})


def shown_by(camera: Camera, whole: Fleet) -> str:
    """All that can be printed of a camera without asking for its secrets."""
    source = camera.source
    return " ".join(
        [
            *(f"{thing} {thing!r}" for thing in (source, camera, whole)),
            source.shown, str(camera.model_dump()), camera.model_dump_json(), str(dict(camera)),
            json.dumps(whole.model_dump(mode="json")), camera.digest(), whole.digest(),
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "env"),
    [
        (WRITTEN, {"PW": "s3cret"}),
        ("rtsp://viewer:s3cret@10.0.0.5/live", {}),
        ("rtsp://s3cret@10.0.0.5/live", {}),
        ("rtsp://viewer:s3cret@s3cret/s3cret@10.0.0.5/live", {}),
        ("RTSP://10.0.0.5/${PW}", {"PW": "s3cret"}),
        ("https://10.0.0.5/a.m3u8?token=s3cret&x=1", {}),
        ("https://10.0.0.5/a.m3u8?x=${PW}", {"PW": "s3cret"}),
        ("${ALL}", {"ALL": "rtsp://viewer:s3cret@10.0.0.5/live"}),
    ],
)
def test_no_form_of_a_camera_shows_a_secret(source: str, env: dict[str, str]) -> None:
    found = fleet(source, env)
    camera = found.cameras[0]
    assert "s3cret" in camera.source.reveal()
    assert "s3cret" not in shown_by(camera, found)
    again = pickle.loads(pickle.dumps(camera))
    assert again == camera
    assert again.source.reveal() == camera.source.reveal()
    for said in (f"cannot open {camera.source.reveal()}", "denied for s3cret", "'s3cret' refused"):
        assert "s3cret" not in camera.source.hide(said)
        assert camera.source.hide(said) != said


@given(st.text(string.ascii_letters + string.digits + "@:/?#&=%+~!.-_", min_size=3, max_size=24))
def test_no_password_is_found_in_what_a_library_says(password: str) -> None:
    """Quoted as it is, percent-encoded, as part of the address or alone."""
    address = SourceAddress("rtsp://viewer:${PW}@camera.example/live", {"PW": password})
    whole = address.reveal()
    said = address.hide(f"opening {whole}: 401 [{password}] <{quote(password, safe='')}>")
    assert password not in said.replace(address.shown, "").replace("***", "").replace("opening", "").replace("401", "")
    assert str(address) == address.shown == "rtsp://***@camera.example/live"


def test_another_password_is_another_revision_of_the_same_configuration() -> None:
    one, two = (fleet(WRITTEN, {"PW": password}).cameras[0] for password in ("first", "second"))
    assert one.digest() == two.digest()
    assert one.revision() != two.revision()
    assert one.source != two.source
    other = fleet(WRITTEN.replace("live", "sub"), {"PW": "first"}).cameras[0]
    assert other.digest() != one.digest()
    assert fleet(WRITTEN, {"PW": "first"}).cameras[0].revision() == one.revision()


def test_errors_show_what_is_written_and_not_what_it_stands_for() -> None:
    for source, more in (("ftp://${PW}", "x: 1"), ("${PW}://x", "x: 1"), (WRITTEN, "analysis_fps: ${PW}")):
        with pytest.raises(FleetErrors) as caught:
            fleet(source, {"PW": "s3cret"}, more)
        assert "s3cret" not in str(caught.value), source
    with pytest.raises(ValidationError) as invalid:
        Camera.model_validate({"source": "ftp://u:s3cret@h"})
    assert "s3cret" not in str(invalid.value)


def test_the_variables_that_a_fleet_names_are_known() -> None:
    assert env_names([FLEET.replace("SOURCE", "rtsp://${A_1}:${B}@h/${not a name}"), "${B} ${C}"]) == {"A_1", "B", "C"}


def test_a_source_may_be_given_as_text_or_address(make_camera: Callable[..., Camera]) -> None:
    address = SourceAddress("rtsp://u:p@h/x")
    assert make_camera("rtsp://u:p@h/x").source == address
    assert Camera.model_validate(make_camera().model_dump() | {"source": address}).source is address
    assert SourceAddress.of(address) is address
    assert len({address, SourceAddress("rtsp://u:p@h/x")}) == 1
    schema = Fleet.model_json_schema()["$defs"]["Camera"]["properties"]["source"]
    assert schema["type"] == "string"
