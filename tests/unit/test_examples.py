"""The example province: every camera of it, as its generator writes it, and every one marked as made up."""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from actors.fleet_file import load_fleet

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "dien-bien"
ROLES = {
    "traffic_enforcement": 19,
    "traffic_counting": 6,
    "overview": 11,
    "face_crowd": 34,
    "neighbourhood": 74,
    "shared": 68,
}


def test_the_province_has_its_212_cameras_all_marked_as_made_up() -> None:
    fleet = load_fleet(sorted(EXAMPLE.glob("*.yaml")))
    assert Counter(camera.role.value for camera in fleet.cameras) == ROLES
    assert len(fleet.districts) == len({camera.district for camera in fleet.cameras}) == 10
    assert all(camera.source.simulated for camera in fleet.cameras)
    assert all(camera.location and not camera.location.surveyed for camera in fleet.cameras)
    assert len({camera.source for camera in fleet.cameras}) == 212
    gateways = Counter(camera.id.rsplit("-", 1)[0] for camera in fleet.cameras if camera.role == "traffic_counting")
    assert gateways == {"gate-canh-quang": 2, "gate-thanh-nua": 2, "gate-thanh-xuong": 2}
    assert all(camera.terms for camera in fleet.cameras if camera.role == "shared")


def test_the_files_are_what_the_generator_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("make_dien_bien", EXAMPLE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    monkeypatch.setattr(make, "HERE", tmp_path)
    make.main()
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert written == {file.name: file.read_text() for file in EXAMPLE.glob("*.yaml")}
