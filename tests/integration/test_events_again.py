"""From an event's id to all that it rests on, and to the same event again: a live run, a store, the command."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from actors.camera import CameraRuntime
from actors.configs import ConfigArchive
from actors.fleet_file import load_fleet
from actors.inference import InferenceService
from actors.link import Peer
from actors.models import ModelError
from actors.models.files import find_model
from actors.store import AuditStore, EventStore
from benchmarks.enforcement import junction_camera
from cli.main import app
from hoaban import __version__
from hoaban.again import begins_s, find_again
from hoaban.events import Event
from hoaban.fleet import Camera
from hoaban.geometry import iou
from hoaban.sim.address import parse_address
from hoaban.sim.film import Film
from tests.blocks import write_block_model, write_suite
from tests.conftest import absent
from tests.stub_models import Kept

pytestmark = pytest.mark.integration
MODELS = os.environ.get("HOABAN_MODEL_PATH", "")


class Lived:
    """A run of a camera, its events in a store."""

    def __init__(self, folder: Path, events: list[Event]) -> None:
        self.folder, self.events = folder, events

    def ask(self, command: str, id: str) -> Result:
        return CliRunner().invoke(app, ["events", command, id, "--data", str(self.folder / "data"), "--json"])

    def rewrite(self, event: Event, **data: object) -> Event:
        """The event with other things told of it, in the store under another id."""
        other = replace(event, id=f"{len(self.events):032x}", data=dict(event.data) | data)
        self.events.append(other)
        store = EventStore.open(f"sqlite:///{self.folder / 'data' / 'hoaban.db'}")
        store.write([other])
        store.close()
        return other


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    folder = tmp_path_factory.mktemp("again")
    write_block_model(folder / "models", "street")
    write_suite(folder / "film")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOABAN_MODEL_PATH", str(folder / "models"))
        patch.delenv("HOABAN_STORE_URL", raising=False)
        camera = Camera.model_validate(
            {"id": "gate", "name": "Cầu", "role": "overview", "district": "d", "owner": "o", "model": "street"}
            | {"source": str(folder / "film" / "blocks.mp4"), "analysis_fps": 5, "begin_score": 0.5, "loop": False}
            | {"lines": [{"id": "l", "from": [0.0, 0.5], "to": [1.0, 0.5]}], "motion_gate": False}
            | {"rules": [{"type": "line_count", "line": "l", "classes": ["thing"]}]}
        )
        session = os.urandom(4).hex()
        InferenceService("again", session, ["street"], threads=1, device="cpu")
        kept = Kept()
        peers = [Peer("again", "here", session)]
        runtime = CameraRuntime(camera, peers=peers, node="here", publisher=kept, board=None, pacing="demand")
        runtime.start()
        ends = time.monotonic() + 60
        while len(kept.events) < 5 and time.monotonic() < ends:
            time.sleep(0.02)
        runtime.stop()
        (folder / "data").mkdir()
        assert ConfigArchive(folder / "data").keep([camera]) == 1
        assert ConfigArchive(folder / "data").keep([camera]) == 0
        store = EventStore.open(f"sqlite:///{folder / 'data' / 'hoaban.db'}")
        store.write(kept.events)
        store.close()
        yield Lived(folder, list(kept.events))


def test_an_event_shows_all_that_it_rests_on(lived: Lived) -> None:
    event = lived.events[2]
    told = json.loads(lived.ask("show", event.id).stdout)
    assert told["model"] == event.data["model"]
    assert told["config"] == event.data["config"]
    assert (told["code"], told["frame"]["seq"]) == (__version__, event.data["frame"]["seq"])
    assert (told["model_here"], told["config_here"], told["code_same"]) == (True, True, True)
    assert told["recording"].endswith("blocks.mp4")
    missing = lived.ask("show", "nothing")
    assert (missing.exit_code, "no event 'nothing'" in missing.stderr) == (2, True)


def test_the_same_event_comes_out_and_after_a_better_model_still_that_of_the_old(lived: Lived) -> None:
    event = lived.events[3]
    for version in ("", "2"):
        if version:  # another model of the name that the fleet file has; the event names the one before
            write_block_model(lived.folder / "models", "street-2", 0.55, version="2")
        answer = lived.ask("replay", event.id)
        assert answer.exit_code == 0, answer.stderr
        told = json.loads(answer.stdout)
        assert (told["same"], told["notes"]) == (True, [])
        assert abs(told["apart_s"]) < 0.001
        again = told["again"]["data"]
        for name in ("rule", "class", "line", "direction", "model", "config", "bbox"):
            assert again[name] == event.data[name]
    store = EventStore.open(f"sqlite:///{lived.folder / 'data' / 'hoaban.db'}")
    actions = [record.action for record in AuditStore(store.engine).records()]
    store.close()
    assert "event.replay" in actions


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": {"name": "street", "version": "1", "digest": "ab" * 32}}, "digest abababababab… is not here"),
        ({"config": "cd" * 32}, "configuration cdcdcdcdcdcd… is not kept"),
        ({"config": "../../x"}, "is not kept"),
    ],
)
def test_what_is_gone_is_said(lived: Lived, change: dict, told: str) -> None:
    answer = lived.ask("replay", lived.rewrite(lived.events[0], **change).id)
    assert answer.exit_code == 1
    assert told in answer.stderr


def test_a_card_edited_under_the_same_version_is_noticed_and_events_of_old_are_still_read(lived: Lived) -> None:
    event = lived.events[3]
    assert event.data["model"]["card"] == find_model("street@1").card.digest()
    old = {name: told for name, told in event.data["model"].items() if name != "card"}
    of_old = lived.rewrite(event, model=old)
    path = lived.folder / "models" / "street" / "card.yaml"
    card = path.read_text()
    path.write_text(card + "min_score: 0.6\n")
    try:
        answer, shown = lived.ask("replay", event.id), json.loads(lived.ask("show", event.id).stdout)
        assert lived.ask("replay", of_old.id).exit_code == 0  # its file is all that it names
    finally:
        path.write_text(card)
    assert answer.exit_code == 1
    assert "is here with another card" in answer.stderr
    assert (shown["model_here"], "edited under the same version" in shown["model_missing"]) == (False, True)
    assert json.loads(lived.ask("show", of_old.id).stdout)["model"] == old
    assert lived.ask("replay", event.id).exit_code == 0


def test_other_code_is_said_and_another_event_does_not_come_out(lived: Lived) -> None:
    answer = lived.ask("replay", lived.rewrite(lived.events[1], code="0.0.1").id)
    assert answer.exit_code == 0
    assert "made by code 0.0.1" in json.loads(answer.stdout)["notes"][0]
    answer = lived.ask("replay", lived.rewrite(lived.events[1], direction="backward").id)
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["again"] is None


def test_a_configuration_that_was_altered_is_not_used(lived: Lived) -> None:
    (path,) = (lived.folder / "data" / "configs").iterdir()
    text = path.read_text()
    path.write_text(text.replace('"begin_score":0.5', '"begin_score":0.4'))
    answer = lived.ask("replay", lived.events[0].id)
    path.write_text(text)
    assert answer.exit_code == 1
    assert "is not what was kept" in answer.stderr


def test_of_several_alike_the_nearest_and_none_beyond_the_limit(lived: Lived) -> None:
    event, others = lived.events[2], lived.events[:5]
    assert find_again(event, others, 0.2).found is event
    rest = [one for one in others if one is not event]
    assert not find_again(event, rest, 0.2).same
    assert find_again(event, rest, 5.5).same


def test_a_replay_begins_where_the_events_frame_is_analysed() -> None:
    assert begins_s(6.13, 0.0, 0.2) == pytest.approx(0.13)
    assert begins_s(0.1, 0.5, 0.2) == 0.5


SIMULATED = "sim://junction?seed=1&duration=60&violations=0.9&fps=8&noise=4&drop=0.05&jitter=0.2"


def test_violations_come_out_again_from_the_clips_of_their_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOABAN_STORE_URL", raising=False)
    camera = junction_camera(Film(parse_address(SIMULATED)).setup())
    fleet = {
        "version": 1, "province": {"name": "X"}, "districts": [{"id": "sim", "name": "S"}],
        "agencies": [{"id": "sim", "name": "S"}], "cameras": [camera.model_dump(mode="json", by_alias=True)],
    }  # fmt: skip
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(fleet, allow_unicode=True))
    asked = ["replay", str(tmp_path / "fleet.yaml"), "--camera", camera.id, "--out", str(tmp_path / "events.jsonl")]
    made = CliRunner().invoke(app, [*asked, "--evidence", str(tmp_path / "data" / "evidence")])
    assert made.exit_code == 0, made.output
    events = [Event.from_json(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert len(events) >= 2
    ConfigArchive(tmp_path / "data").keep(load_fleet([tmp_path / "fleet.yaml"]).cameras)
    store = EventStore.open(f"sqlite:///{tmp_path / 'data' / 'hoaban.db'}")
    store.write(events)
    store.close()
    for event in events:
        answer = Lived(tmp_path, events).ask("replay", event.id)
        assert answer.exit_code == 0, answer.output
        told = json.loads(answer.stdout)
        assert told["recording"] == "the clip of its evidence"
        assert told["again"]["type"] == event.type
    (tmp_path / "data" / "evidence" / events[0].id / "clip.mp4").unlink()  # its term was shorter
    assert "no clip of it was kept" in Lived(tmp_path, events).ask("replay", events[0].id).stderr
    monkeypatch.setenv("HOABAN_MODEL_PATH", MODELS)
    try:
        find_model("yunet")
    except ModelError as missing:
        absent(str(missing))
    labels_of_their_clips(tmp_path, events[1:])


def labels_of_their_clips(folder: Path, events: list[Event]) -> None:
    """Pictures for labelling are those in which the rules found the events: a box is where the event's thing was."""
    command = ["events", "export-coco", str(folder / "labels"), "--fleet", str(folder / "fleet.yaml")]
    given = CliRunner().invoke(app, [*command, "--reason", "labels, for a test", "--data", str(folder / "data")])
    assert given.exit_code == 0, given.output
    document = json.loads((folder / "labels" / "labels.json").read_text())
    boxes_of = {image["file_name"]: [] for image in document["images"]}
    names = {image["id"]: image["file_name"] for image in document["images"]}
    for one in document["annotations"]:
        x, y, width, height = one["bbox"]
        boxes_of[names[one["image_id"]]].append((x, y, x + width, y + height))
    assert set(boxes_of) == {f"{event.id}.jpg" for event in events}
    for event in events:
        own = np.array([event.data["bbox"]], np.float64)
        assert iou(own, np.array(boxes_of[f"{event.id}.jpg"], np.float64)).max() > 0.5, event
