"""The capacity plan: what cameras ask for, and nodes that carry them with one to spare."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from actors.fleet_file import load_fleet
from cli.main import app
from hoaban.capacity import (
    Assumed,
    Costs,
    DecodeCost,
    Demand,
    Limits,
    ModelCost,
    NodeKind,
    NoRoomError,
    StreamGuess,
    UnknownCostError,
    WhatIfError,
    demand,
    place,
    plan,
    what_if,
)
from hoaban.capacity.placing import nodes_needed
from hoaban.fleet import Camera, Fleet, Role

PROVINCE = sorted((Path(__file__).parents[2] / "examples" / "dien-bien").glob("*.yaml"))
COSTS = Costs(
    machine="a drawn one",
    date="2026-01-01",
    decode={"h264": DecodeCost(frame_s=0.0005, megapixel_s=0.002)},
    analysed_s=0.001,
    input_s=0.0005,
    camera_s=0.01,
    camera_mb=100,
    models={
        "yolox-nano": ModelCost(cpu_s=0.015, gpu_s=0.001, mb=200),
        "sim-colours": ModelCost(cpu_s=0.002, mb=10),
        "faces": ModelCost(cpu_s=0.02, mb=150),
    },
    plate_s=0.05,
    plates_mb=120,
    still_megapixel_s=0.01,
    node_cpus=0.1,
    node_mb=600,
    control_s=0.01,
    control_mb=1500,
)
GUESS, SIXTEEN = StreamGuess(), NodeKind(16, 64)


@pytest.fixture(scope="module")
def province() -> Fleet:
    return load_fleet(PROVINCE)


def test_a_camera_asks_for_what_the_formula_says(make_camera: Callable[..., Camera]) -> None:
    camera = make_camera(source="rtsp://127.0.0.1/a", model="yolox-nano", analysis_fps=5, pre_roll_s=6)
    asked = demand(camera, COSTS, GUESS, ring_s=6, on_gpu=False)
    decoding = 25 * (0.0005 + 2.0736 * 0.002)
    assert asked.cpus == pytest.approx(0.01 + decoding + 5 * (0.001 + 0.0005 + 0.015))
    assert asked.memory_mb == pytest.approx(100 + 6 * 4 / 8 + 6 * 2.0736 * 1.5)
    assert (asked.gpus, asked.network_mbit) == (0, 4)
    on_gpu = demand(camera, COSTS, GUESS, ring_s=6, on_gpu=True)
    assert on_gpu.gpus == pytest.approx(0.005)
    assert on_gpu.cpus == pytest.approx(asked.cpus - 5 * 0.015)


def test_stills_and_plates_are_in_it(make_camera: Callable[..., Camera]) -> None:
    zone = {"id": "z", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    plain = make_camera(source="rtsp://127.0.0.1/a", zones=[zone], role="traffic_enforcement")
    parking = plain.model_validate(
        plain.model_dump(by_alias=True)
        | {"source": "rtsp://127.0.0.1/a", "rules": [{"type": "illegal_parking", "zone": "z"}]}
    )
    before, after = (
        demand(camera, COSTS, GUESS, ring_s=6, on_gpu=False, assumed=Assumed(vehicles_per_min=30, stills_per_vehicle=4))
        for camera in (plain, parking)
    )
    assert after.cpus - before.cpus == pytest.approx(0.5 * 4 * 2.0736 * 0.01)
    assert after.memory_mb - before.memory_mb == pytest.approx(48)
    unmeasured = COSTS.model_copy(update={"still_megapixel_s": None})
    with pytest.raises(UnknownCostError, match="what stills cost was not measured"):
        demand(parking, unmeasured, GUESS, ring_s=6, on_gpu=False)


def streaming(make_camera: Callable[..., Camera], number: int) -> Fleet:
    cameras = tuple(make_camera(id=f"c{i}", source="rtsp://a/b", model="yolox-nano") for i in range(number))
    return Fleet.model_validate({"version": 1, "province": {"name": "x"}}).model_copy(update={"cameras": cameras})


def test_the_network_card_limits_a_node(make_camera: Callable[..., Camera]) -> None:
    def planned(nic_mbit: float) -> int:
        kind = NodeKind(64, 256, nic_mbit=nic_mbit)
        return plan(streaming(make_camera, 40), COSTS, kind, guess=GUESS, ring_s=lambda c: c.pre_roll_s).nodes

    assert planned(1000) == 2
    assert planned(100) == 3  # 160 Mbit/s, of which a node may take in 70, and 90 when one is gone
    with pytest.raises(NoRoomError, match="Mbit/s of network"):
        planned(4)


def test_a_gpu_holds_every_model_and_one_that_is_swapped_in(make_camera: Callable[..., Camera]) -> None:
    def planned(gpu_gb: float) -> int:
        kind, assumed = NodeKind(16, 64, 1, gpu_gb=gpu_gb), Assumed(gpu_model_mb=2048)
        fleet = streaming(make_camera, 1)
        return plan(fleet, COSTS, kind, guess=GUESS, ring_s=lambda c: c.pre_roll_s, assumed=assumed).nodes

    assert planned(4.0) == 2
    with pytest.raises(NoRoomError, match="does not hold the fleet's 1 models"):
        planned(3.9)


def test_what_was_not_measured_is_said(make_camera: Callable[..., Camera]) -> None:
    with pytest.raises(UnknownCostError, match="'mine' was not measured on a drawn one"):
        demand(make_camera(model="mine"), COSTS, GUESS, ring_s=6, on_gpu=False)
    with pytest.raises(UnknownCostError, match="on no GPU"):
        demand(make_camera(source="sim://yard", model="sim-colours"), COSTS, GUESS, ring_s=6, on_gpu=True)
    with pytest.raises(UnknownCostError, match="hevc"):
        demand(make_camera(source="rtsp://a/b"), COSTS, StreamGuess(codec="hevc"), ring_s=6, on_gpu=False)


def test_the_province_is_carried_with_a_node_to_spare(province: Fleet) -> None:
    found = plan(province, COSTS, NodeKind(4, 16), guess=GUESS, ring_s=lambda c: c.pre_roll_s)
    assert sum(site.cameras for site in found.sites) == 212
    for site in found.sites:
        assert site.busiest <= 0.8 + 1e-9
        assert site.busiest_after_loss is not None
        assert site.busiest_after_loss <= 0.9 + 1e-9
        assert max(site.node_of.values()) == site.nodes - 1
    bare = plan(province, COSTS, NodeKind(4, 16), guess=GUESS, ring_s=lambda c: c.pre_roll_s, spare=False)
    assert bare.nodes < found.nodes


def test_ten_thousand_cameras_in_forty_sites_find_a_place(province: Fleet) -> None:
    cameras = tuple(
        camera.model_copy(update={"id": f"{camera.id}-{n}", "site": f"s{(n * 7 + i) % 40}"})
        for n in range(48)
        for i, camera in enumerate(province.cameras)
    )[:10_000]
    large = province.model_copy(update={"cameras": cameras})
    found = plan(large, COSTS, SIXTEEN, guess=GUESS, ring_s=lambda c: c.pre_roll_s)
    assert len(found.sites) == 40
    assert sum(site.cameras for site in found.sites) == 10_000
    assert all(len(site.node_of) == site.cameras for site in found.sites)
    # No more than one node a site above what the sums alone ask for, beside the one to spare.
    usable = 0.7 * (16 - COSTS.node_cpus)
    assert all(site.nodes <= int(np.ceil(site.cpus / usable)) + 2 for site in found.sites)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 3), st.floats(50, 2000), st.floats(0, 0.3)), min_size=1, max_size=60),
    st.integers(4, 32),
)
def test_no_node_is_ever_planned_over_its_limit(asked: list[tuple[float, float, float]], cpus: int) -> None:
    demands = [Demand(str(i), None, c, m, g, 0) for i, (c, m, g) in enumerate(asked)]
    room = NodeKind(cpus, 64, 1).room(0.1, 500)
    try:
        placed = nodes_needed(demands, room, 0.7, 0.8)
    except NoRoomError:
        assert max(c for c, _, _ in asked) > 0.7 * room[0]
        return
    used = np.zeros((placed.nodes, 4))
    for row, node in zip(asked, placed.node_of, strict=True):
        used[node] += (*row, 0)
    assert (used <= room * (0.7, 0.8, 0.7, 0.7) + 1e-6).all()
    np.testing.assert_allclose(used / room, placed.load, atol=1e-9)
    if placed.nodes > 1:
        assert place(demands, room, placed.nodes - 1, 0.7, 0.8) is None or placed.nodes == 1


def test_a_camera_larger_than_a_node_is_named(make_camera: Callable[..., Camera]) -> None:
    fleet = Fleet.model_validate({"version": 1, "province": {"name": "x"}}).model_copy(
        update={"cameras": (make_camera(id="huge", source="rtsp://a/b", analysis_fps=60),)}
    )
    fast = StreamGuess(fps=60, width=7680, height=4320)
    with pytest.raises(NoRoomError, match="camera huge alone needs"):
        plan(fleet, COSTS, NodeKind(2, 8), guess=fast, ring_s=lambda c: c.pre_roll_s, limits=Limits())
    with pytest.raises(NoRoomError, match="filled by its own services"):
        plan(fleet, COSTS, NodeKind(0.1, 8), guess=GUESS, ring_s=lambda c: c.pre_roll_s)


def test_what_if(province: Fleet) -> None:
    more = what_if(province, "+20 face_crowd")
    assert len(more.cameras) == 232
    assert len({camera.id for camera in more.cameras}) == 232
    fewer = what_if(more, "-20 face_crowd")
    assert {camera.id for camera in fewer.cameras} == {camera.id for camera in province.cameras}
    faster = what_if(province, "analysis_fps=10 overview")
    assert {c.analysis_fps for c in faster.cameras if c.role is Role.OVERVIEW} == {10.0}
    usual = {c.id: c.analysis_fps for c in province.cameras}
    assert all(c.analysis_fps == usual[c.id] for c in faster.cameras if c.role is not Role.OVERVIEW)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("twenty more", "not understood"),
        ("+20 faces", "there is no role 'faces'"),
        ("-999 overview", "the fleet has 11 cameras"),
        ("analysis_fps=0", "analysis_fps=0 for camera"),
        ("source=x", "cannot be changed here"),
    ],
)
def test_a_what_if_that_cannot_be_is_explained(province: Fleet, change: str, why: str) -> None:
    with pytest.raises(WhatIfError, match=why):
        what_if(province, change)


def test_the_command_plans_and_refuses(tmp_path: Path) -> None:
    costs = tmp_path / "costs.json"
    costs.write_text(COSTS.model_dump_json())
    fleet = [str(path) for path in PROVINCE if path.stem in ("province", "overview")]
    arguments = ["plan", *fleet, "--costs", str(costs), "--node", "cpus=4,memory=16"]
    plain = CliRunner().invoke(app, arguments)
    assert plain.exit_code == 0
    assert "In all" in plain.stdout
    assert (
        "Assumed, not measured (--assume): vehicles_per_min=20, stills_per_vehicle=2, gpu_model_mb=2000" in plain.stdout
    )
    assert "network 1000 Mbit/s each, assumed" in plain.stdout
    before = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    after = json.loads(CliRunner().invoke(app, [*arguments, "--json", "--what-if", "+400 overview"]).stdout)
    assert (before["cameras"], after["cameras"]) == (11, 411)
    assert after["nodes"] > before["nodes"]
    for wrong, why in (
        (["--node", "cpus=many"], "--node: cpus"),
        (["--node", "colour=red"], "colour"),
        (["--stream", "fps=0"], "--stream: fps"),
        (["--what-if", "+1 tree"], "no role 'tree'"),
        (["--assume", "vehicles_per_min=-1"], "--assume: vehicles_per_min"),
        (["--costs", str(tmp_path)], "cannot be read"),
        (["--node", "cpus=4,memory=16,gpus=1"], "on no GPU"),
    ):
        refused = CliRunner().invoke(app, ["plan", *fleet, "--costs", str(costs), *wrong])
        assert refused.exit_code == 2, wrong
        assert why in refused.stderr, (wrong, refused.stderr)
        assert refused.stdout == ""
    costs.write_text(json.dumps(COSTS.model_dump() | {"camera_s": -1}))
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert f"{costs}: camera_s:" in refused.stderr


def test_the_costs_that_ship_plan_the_province() -> None:
    planned = CliRunner().invoke(app, ["plan", *map(str, PROVINCE), "--json"])
    assert planned.exit_code == 0, planned.stderr
    found = json.loads(planned.stdout)
    assert found["cameras"] == 212
    assert found["nodes"] >= 2
