"""Pictures of any event leave for who labels: from its recording, hidden, on record; corrected, they come back."""

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from actors.configs import ConfigArchive
from actors.fleet_file import load_fleet
from actors.models import ModelError, find_model
from actors.models.files import open_package
from actors.store import AuditStore, EventStore
from cli.main import app
from hoaban.events import Event
from hoaban.fleet import Camera
from tests.blocks import WIDTH, write_block_model, write_suite

pytestmark = pytest.mark.integration
REASON = "labels of the gate, to the traffic office"
CAMERA: dict[str, Any] = {
    "id": "gate", "name": "Cầu", "role": "overview", "district": "d", "owner": "o", "model": "street",
    "analysis_fps": 5, "begin_score": 0.5, "motion_gate": False,
    "lines": [{"id": "l", "from": [0.0, 0.5], "to": [1.0, 0.5]}],
    "rules": [{"type": "line_count", "line": "l", "classes": ["person"]}],
}  # fmt: skip


class Kept:
    """A data folder with the events of a replay, and the fleet file of now."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store_url = folder, f"sqlite:///{folder / 'data' / 'hoaban.db'}"
        self.camera = CAMERA | {"source": str(folder / "film" / "blocks.mp4")}
        (folder / "data").mkdir()
        fleet = load_fleet([self.fleet()])
        ConfigArchive(folder / "data").keep(fleet.cameras)
        done = CliRunner().invoke(
            app, ["replay", str(self.fleet()), "--camera", "gate", "--out", str(folder / "e.jsonl")]
        )
        assert done.exit_code == 0, done.output
        self.events = [Event.from_json(line) for line in (folder / "e.jsonl").read_text().splitlines()]
        self.write(*self.events[:3])

    def fleet(self, **more: Any) -> Path:
        path = self.folder / "fleet.yaml"
        document = {
            "version": 1, "province": {"name": "P"}, "districts": [{"id": "d", "name": "D"}],
            "agencies": [{"id": "o", "name": "O"}], "cameras": [self.camera | more],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(document))
        return path

    def write(self, *events: Event) -> None:
        store = EventStore.open(self.store_url)
        store.write(list(events))
        store.close()

    def export(self, out: Path, *more: str, **now: Any) -> Result:
        command = ["events", "export-coco", str(out), "--fleet", str(self.fleet(**now)), "--reason", REASON]
        return CliRunner().invoke(app, [*command, "--data", str(self.folder / "data"), *more])

    def exports(self) -> list[Any]:
        store = EventStore.open(self.store_url)
        found = [one for one in AuditStore(store.engine).records() if one.action == "model.export"]
        store.close()
        return found


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    try:
        yunet = find_model("yunet")
    except ModelError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("kept")
    write_block_model(folder / "models", "street")
    card = folder / "models" / "street" / "card.yaml"
    card.write_text(card.read_text().replace("- thing", "- person\n- car"))
    write_suite(folder / "film")
    assert yunet.path is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOABAN_MODEL_PATH", f"{folder / 'models'}:{yunet.path.parent}")
        patch.delenv("HOABAN_STORE_URL", raising=False)
        yield Kept(folder)


def test_pictures_of_counts_leave_with_what_the_model_saw_and_come_back_corrected(kept: Kept, tmp_path: Path) -> None:
    out = tmp_path / "gate"
    answer = kept.export(out)
    assert answer.exit_code == 0, answer.output
    document = json.loads((out / "labels.json").read_text())
    newest = list(reversed(kept.events[:3]))
    assert [one["hoaban"]["events"] for one in document["images"]] == [
        [{"id": event.id, "type": "line_count"}] for event in sorted(newest, key=lambda e: e.time)
    ]
    for image, event in zip(document["images"], sorted(newest, key=lambda e: e.time), strict=True):
        (box,) = [one["bbox"] for one in document["annotations"] if one["image_id"] == image["id"]]
        x1, y1, x2, y2 = event.data["bbox"]
        assert box == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=3.0)
        assert (image["hoaban"]["role"], image["width"]) == ("overview", WIDTH)
        picture = cv2.imread(str(out / "pictures" / image["file_name"]))
        assert picture.max() > 150  # the thing that the event is about is in it
    begun, done = kept.exports()[-2:]
    assert (begun.outcome, done.outcome, done.reason) == ("begun", "done", REASON)
    assert set(done.detail["events"]) == {event.id for event in newest}
    taken = CliRunner().invoke(app, ["models", "import-coco", str(out), "--suite", str(tmp_path / "suite")])
    assert taken.exit_code == 0, taken.output
    assert "3 pictures with 3 things" in taken.output


def test_zones_of_now_are_black(kept: Kept, tmp_path: Path) -> None:
    whole = [{"id": "w", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}]
    assert kept.export(tmp_path / "closed", "--limit", "1", privacy_zones=whole).exit_code == 0
    assert cv2.imread(str(next((tmp_path / "closed" / "pictures").iterdir()))).max() < 40


def test_heads_are_coarse_and_where_none_knows_people_or_vehicles_nothing_leaves(kept: Kept, tmp_path: Path) -> None:
    noise, film = np.random.default_rng(1), tmp_path / "noise.mp4"
    with av.open(str(film), "w") as out:
        stream = out.add_stream("libx264", rate=5, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 320, 320, "yuv420p"
        picture = np.full((320, 320, 3), 60, np.uint8)
        picture[40:280, 100:220] = noise.integers(185, 255, (240, 120, 1), np.uint8)
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 5)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    camera = Camera.model_validate(kept.camera | {"source": str(film)})
    ConfigArchive(kept.folder / "data").keep([camera])
    event = kept.events[5]
    data = dict(event.data) | {"config": camera.digest(), "frame": {"seq": 2, "width": 320, "height": 320}}
    kept.write(replace(event, id="f" * 32, data=data))
    assert kept.export(tmp_path / "seen", "--limit", "1").exit_code == 0
    shown = cv2.imread(str(tmp_path / "seen" / "pictures" / f"{'f' * 32}.jpg"), cv2.IMREAD_GRAYSCALE).astype(float)
    head, body = (np.abs(np.diff(shown[rows, 110:210], axis=1)).mean() for rows in (slice(50, 90), slice(160, 260)))
    assert head < 0.4 * body

    card = kept.folder / "models" / "street" / "card.yaml"
    before = card.read_text()
    for id, word, told in (("e1" * 16, "- person", "people"), ("e2" * 16, "- car", "vehicles")):
        card.write_text(before.replace(word, "- thing"))
        named = dict(data["model"]) | {"card": open_package(str(card.parent)).card.digest()}
        kept.write(replace(event, id=id, data=data | {"model": named}))
        answer = kept.export(tmp_path / told, "--limit", "1")
        card.write_text(before)
        assert (answer.exit_code, (tmp_path / told).exists()) == (1, False)
        assert f"but by a mosaic of the whole: its model has no class for {told}" in answer.stderr


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"terms": {"analytics": ["line_count"]}}, "does not give its pictures to this"),
        ({"terms": {"viewers": ["officer"]}}, "does not give its pictures to this"),
        ({"terms": {"retention_days": 1}}, "is over the term of the owner"),
        ({"id": "other"}, "camera gate is not in the fleet file"),
    ],
)
def test_what_its_owner_does_not_give_stays(kept: Kept, tmp_path: Path, now: dict[str, Any], told: str) -> None:
    before = len(kept.exports())
    answer = kept.export(tmp_path / "no", **now)
    assert answer.exit_code == 1
    assert f"3 left out: {told}" in answer.stderr or told in answer.stderr
    assert not (tmp_path / "no").exists()
    assert len(kept.exports()) == before


def test_what_is_gone_a_hit_of_a_watchlist_and_odd_events_are_left_out_and_told(kept: Kept, tmp_path: Path) -> None:
    event = kept.events[4]
    gone = {"name": "gone", "version": "1", "digest": ""}
    odd = {
        "a": replace(event, id="a" * 32, data=dict(event.data) | {"config": "cd" * 32}),
        "b": replace(event, id="b" * 32, data=dict(event.data) | {"model": gone}),
        "c": replace(event, id="c" * 32, type="hoaban.face_watchlist"),
        "d": replace(event, id="d" * 32, data={k: v for k, v in event.data.items() if k != "frame"}),
        "e": replace(event, id="e" * 32, data={k: v for k, v in event.data.items() if k != "model"}),
    }
    kept.write(*odd.values())
    answer = kept.export(tmp_path / "some")
    assert answer.exit_code == 0, answer.output
    given = {path.stem for path in (tmp_path / "some" / "pictures").iterdir()}
    assert given >= {event.id for event in kept.events[:3]}
    assert not given & {one.id for one in odd.values()}
    for told in ("configuration cdcd", "model 'gone@1' is not known", "hit of a watchlist", "no frame", "no model"):
        assert told in answer.stderr, told


def test_bad_input_is_refused_before_anything_is_read(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    before = len(kept.exports())
    assert kept.export(tmp_path / "full").exit_code == 2
    assert kept.export(tmp_path / "new", "--reason", "no").exit_code == 2
    assert kept.export(tmp_path / "new", "--type", "crowd").exit_code == 1
    assert len(kept.exports()) == before
