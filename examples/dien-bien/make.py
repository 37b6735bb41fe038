"""Writes the example fleet of Điện Biên: 212 cameras by district and agency, every one of them simulated.

`python examples/dien-bien/make.py` writes the YAML files beside it. Numbers and roles of cameras are the province's;
names, places and set-ups are made up, and say so: `surveyed: false` at each location, sim:// at each source. Replace
them camera by camera with what is measured on the spot.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hoaban.sim.address import parse_address
from hoaban.sim.film import Film

HERE = Path(__file__).parent
DISTRICTS = {
    "dbp": ("TP. Điện Biên Phủ", 21.386, 103.017),
    "muong-lay": ("TX. Mường Lay", 22.040, 103.155),
    "dien-bien": ("Huyện Điện Biên", 21.300, 102.990),
    "dien-bien-dong": ("Huyện Điện Biên Đông", 21.265, 103.270),
    "muong-ang": ("Huyện Mường Ảng", 21.520, 103.235),
    "muong-cha": ("Huyện Mường Chà", 21.755, 103.075),
    "muong-nhe": ("Huyện Mường Nhé", 22.185, 102.455),
    "nam-po": ("Huyện Nậm Pồ", 21.870, 102.590),
    "tua-chua": ("Huyện Tủa Chùa", 21.990, 103.340),
    "tuan-giao": ("Huyện Tuần Giáo", 21.590, 103.420),
}
"""id -> name, and about where it lies"""
AGENCIES = {
    "police": "Công an tỉnh",
    "traffic-police": "Phòng Cảnh sát giao thông",
    "ioc": "Trung tâm điều hành thông minh",
    "health": "Sở Y tế",
    "education": "Sở Giáo dục và Đào tạo",
    "culture": "Sở Văn hóa, Thể thao và Du lịch",
} | {f"ub-{district}": f"UBND {name}" for district, (name, _, _) in DISTRICTS.items()}
SPREAD_DEG = 0.02
"""how far around its district's place a camera is put"""


def main() -> None:
    """Write all files."""
    province = {
        "version": 1,
        "province": {"name": "Điện Biên", "timezone": "Asia/Ho_Chi_Minh"},
        "districts": [{"id": district, "name": name} for district, (name, _, _) in DISTRICTS.items()],
        "agencies": [{"id": agency, "name": name} for agency, name in AGENCIES.items()],
        "models": {"detect": "yolox-nano"},
    }
    _write("province", province, "The province, its districts and agencies. Every other file adds cameras.")
    for name, cameras, text in (
        ("traffic-enforcement", _enforcement(), "19 cameras at red-light junctions."),
        ("traffic-counting", _counting(), "6 cameras at 3 gateways: Cảnh Quang bridge, Thanh Nưa, Thanh Xương."),
        ("overview", _overview(), "11 high-mast cameras."),
        ("face-crowd", _face_crowd(), "34 cameras in public places, heritage sites, clinics and schools."),
        ("neighbourhood", _neighbourhood(), "74 neighbourhood security cameras."),
        ("shared", _shared(), "68 cameras that their owners share on their terms."),
    ):
        _write(name, {"cameras": list(cameras)}, text)


def _enforcement() -> Iterator[dict[str, Any]]:
    places = {"dbp": 12, "dien-bien": 2, "tuan-giao": 2, "muong-lay": 1, "muong-ang": 1, "muong-cha": 1}
    scene = _scene("junction")
    outer = next(lane for lane in scene["setup"].lanes if lane.id == "outer")
    scene["lines"].append({"id": "heading", "from": list(outer.heading[0]), "to": list(outer.heading[1])})
    (signal,) = scene["setup"].signals
    lamps = {lamp: _corners(getattr(signal, lamp)) for lamp in ("red", "yellow", "green")}
    stop = {"signal": "main", "line": "stop", "direction": "backward", "point": "front"}
    rules = [
        {"type": "red_light", "zone": "box", "grace_s": 0.5, **stop},
        {"type": "stop_line", "reach": 2.5, **stop},
        {"type": "wrong_way", "line": "heading", "zone": "approach"},
        {"type": "illegal_turn", "enter": "stop", "enter_direction": "backward", "leave": ["left"]},
        {"type": "illegal_parking", "zone": "no-parking", "after_s": 60},
        {"type": "camera_health"},
    ]
    for number, (district, seed) in enumerate(_over(places), 1):
        yield {
            **_camera("enf", number, f"Nút giao mẫu {number:02}", "traffic_enforcement", district, "traffic-police"),
            "source": f"sim://junction?seed={seed}&violations=0.05&fps=15",
            "analysis_fps": 15,
            "guaranteed_fps": 8,
            "motion_gate": False,
            **{key: scene[key] for key in ("calibration", "zones", "lines")},
            "signals": [{"id": signal.id, "lamps": lamps}],
            "rules": rules,
        }


def _counting() -> Iterator[dict[str, Any]]:
    gateways = {"canh-quang": ("Cầu Cảnh Quang", "dbp"), "thanh-nua": ("Cửa ngõ Thanh Nưa", "dien-bien"),
                "thanh-xuong": ("Cửa ngõ Thanh Xương", "dien-bien")}  # fmt: skip
    scene = _scene("road")
    lanes = [zone["id"] for zone in scene["zones"]]
    rules = [
        {"type": "line_count", "line": "gate", "lanes": lanes},
        {"type": "turning_count", "lines": ["gate", "far"]},
        {"type": "camera_health"},
    ]
    numbers = itertools.product(gateways, (1, 2))
    for number, (gateway, side) in enumerate(numbers, 1):
        name, district = gateways[gateway]
        yield {
            **_camera("count", number, f"{name} {side} (mẫu)", "traffic_counting", district, "ioc"),
            "id": f"gate-{gateway}-{side}",
            "source": f"sim://road?seed={100 + number}",
            "analysis_fps": 10,
            "guaranteed_fps": 5,
            **{key: scene[key] for key in ("calibration", "zones", "lines")},
            "rules": rules,
        }


def _overview() -> Iterator[dict[str, Any]]:
    places = {"dbp": 5, "dien-bien": 1, "tuan-giao": 1, "muong-lay": 1, "muong-ang": 1, "muong-cha": 1, "muong-nhe": 1}
    scene = _scene("overview")
    rules = [
        {"type": "congestion", "zone": "eastbound"},
        {"type": "congestion", "zone": "westbound"},
        {"type": "crowd", "zone": "square", "at_least": 20},
        {"type": "camera_health"},
    ]
    for number, (district, seed) in enumerate(_over(places), 1):
        yield {
            **_camera("mast", number, f"Cột cao mẫu {number:02}", "overview", district, "ioc"),
            "source": f"sim://overview?seed={200 + seed}&size=1280x720&fps=5",
            "analysis_fps": 2,
            "tiles": {"columns": 2, "rows": 2, "budget_fps": 5},
            "heat_map": {},
            **{key: scene[key] for key in ("calibration", "zones", "lines")},
            "rules": rules,
        }


def _face_crowd() -> Iterator[dict[str, Any]]:
    """No watchlist rule: it would need a lawful basis, which nobody can make up (docs/roles/face-watchlist.md)."""
    kinds = [("Quảng trường", "police", 8), ("Di tích", "culture", 10), ("Cơ sở y tế", "health", 8)]
    kinds += [("Trường học", "education", 8)]
    scene = _scene("plaza")
    rules = [{"type": "crowd", "zone": "square", "at_least": 15, "hold_s": 5}, {"type": "camera_health"}]
    order = itertools.cycle(["dbp", "dbp", "dbp", *DISTRICTS])
    number = 0
    for kind, owner, count in kinds:
        for place in range(1, count + 1):
            number += 1
            yield {
                **_camera("crowd", number, f"{kind} mẫu {place:02}", "face_crowd", next(order), owner),
                "source": f"sim://plaza?seed={300 + number}",
                "analysis_fps": 4,
                **{key: scene[key] for key in ("calibration", "zones", "lines")},
                "rules": rules,
            }


def _neighbourhood() -> Iterator[dict[str, Any]]:
    places = {"dbp": 29} | dict.fromkeys([district for district in DISTRICTS if district != "dbp"], 5)
    scene = _scene("yard")
    night = [{"from": "22:00", "to": "05:00"}]
    rules = [
        {"type": "intrusion", "zone": "yard", "classes": ["person"], "schedule": night},
        {"type": "loitering", "zone": "corner", "after_s": 60},
        {"type": "abandoned_object", "zone": "pavement", "after_s": 60},
        {"type": "removed_object", "zone": "yard"},
        {"type": "camera_health"},
    ]
    for number, (district, seed) in enumerate(_over(places), 1):
        yield {
            **_camera("area", number, f"Khu dân cư mẫu {number:02}", "neighbourhood", district, "police"),
            "source": f"sim://yard?seed={400 + seed}",
            "analysis_fps": 4,
            **{key: scene[key] for key in ("calibration", "zones", "lines")},
            "rules": rules,
        }


def _shared() -> Iterator[dict[str, Any]]:
    places = dict.fromkeys(DISTRICTS, 7) | {"muong-nhe": 6, "nam-po": 6}
    scene = _scene("yard")
    terms = {
        "hours": [{"from": "05:00", "to": "23:00"}],
        "analytics": ["line_crossing", "crowd"],
        "viewers": ["admin", "police"],
        "retention_days": 30,
    }
    rules = [
        {"type": "line_crossing", "line": "gate", "classes": ["person"]},
        {"type": "crowd", "zone": "yard", "at_least": 10},
        {"type": "camera_health"},
    ]
    for number, (district, seed) in enumerate(_over(places), 1):
        yield {
            **_camera("shared", number, f"Camera chia sẻ mẫu {number:02}", "shared", district, f"ub-{district}"),
            "source": f"sim://yard?seed={500 + seed}&fps=5",
            "analysis_fps": 3,
            **{key: scene[key] for key in ("zones", "lines")},
            "rules": rules,
            "terms": terms,
        }


def _camera(prefix: str, number: int, name: str, role: str, district: str, owner: str) -> dict[str, Any]:
    place, lat, lon = DISTRICTS[district]
    # The same numbers on every run; a tool that draws a map needs no better.
    east, north = np.random.default_rng([number, *role.encode()]).uniform(-SPREAD_DEG, SPREAD_DEG, 2).tolist()
    return {
        "id": f"{prefix}-{number:03}",
        "name": f"{name}, {place}" if role != "traffic_counting" else name,
        "role": role,
        "district": district,
        "owner": owner,
        "location": {"lat": round(lat + north, 5), "lon": round(lon + east, 5), "surveyed": False},
    }


def _over(places: dict[str, int]) -> Iterator[tuple[str, int]]:
    """(district, a number of its own for the seed) for each camera."""
    districts = [district for district, count in places.items() for _ in range(count)]
    return ((district, seed) for seed, district in enumerate(districts, 1))


def _scene(name: str) -> dict[str, Any]:
    """A scene's zones, lines and calibration as a fleet file has them."""
    setup = Film(parse_address(f"sim://{name}")).setup()
    calibration = setup.calibration | {
        "picture": [[round(float(value), 5) for value in point] for point in setup.calibration["picture"]],
        "ground_m": [list(map(float, point)) for point in setup.calibration["ground_m"]],
    }
    return {
        "setup": setup,
        "calibration": {key: value for key, value in calibration.items() if value is not None},
        "zones": [{"id": zone, "polygon": [list(p) for p in polygon]} for zone, polygon in setup.zones.items()],
        "lines": [{"id": line, "from": list(a), "to": list(b)} for line, (a, b) in setup.lines.items()],
    }


def _corners(box: tuple[float, float, float, float]) -> list[list[float]]:
    x1, y1, x2, y2 = box
    return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]


def _write(name: str, document: dict[str, Any], text: str) -> None:
    # What several cameras share is written once and named (&id001 … *id001).
    body = yaml.safe_dump(document, allow_unicode=True, sort_keys=False, default_flow_style=None, width=120)
    head = f"# {text} Made by make.py: names, places and set-ups are made up, all sources simulated.\n"
    (HERE / f"{name}.yaml").write_text(head + body, encoding="utf-8")


if __name__ == "__main__":
    main()
