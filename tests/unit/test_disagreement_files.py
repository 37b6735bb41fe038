"""Pictures on which two models differ, on disk: what goes when, halves of them too, and what a hold keeps."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from actors import shadow_watch
from actors.disagreements import KEPT_EACH, Disagreements, folder_beside, name_of
from actors.shadow_watch import MOST_STORED, ShadowWatcher
from hoaban.detections import Detections
from hoaban.frames import FrameMeta

MODEL = "street@2"


@pytest.fixture
def kept(tmp_path: Path) -> Disagreements:
    return Disagreements(str(tmp_path / "kept"))


def put(kept: Disagreements, count: int, camera: str = "gate") -> list[str]:
    ids = [name_of(camera, 1000.0 + i, MODEL) for i in range(count)]
    for id in ids:
        kept.put(MODEL, id, b"jpeg", {"id": id})
    return ids


def test_half_a_picture_goes_as_a_whole_one_does(kept: Disagreements, tmp_path: Path) -> None:
    half, whole = put(kept, 2)
    (tmp_path / "kept" / MODEL / f"{half}.json").unlink()  # killed between the two files
    assert [one.id for one in kept.kept()] == [whole]
    assert kept.sweep(lambda _: True, lambda one: one.id == half, 10**9) == 1  # a hold keeps it, too
    assert kept.sweep(lambda _: True, lambda _: False, 10**9) == 1
    assert list((tmp_path / "kept" / MODEL).iterdir()) == []


def test_of_one_camera_the_newest_stay_and_all_that_a_hold_keeps(kept: Disagreements) -> None:
    ids = put(kept, KEPT_EACH + 10)
    put(kept, 3, "lane")
    held = set(ids[:4])
    assert kept.sweep(lambda _: False, lambda one: one.id in held, 10**9) == 6
    assert {one.id for one in kept.kept() if one.camera == "gate"} == held | set(ids[10:])


def test_who_keeps_pictures_takes_none_out_for_the_next(kept: Disagreements, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = ShadowWatcher(SimpleNamespace(id="gate"), peers=[], node="n", folder=kept)  # type: ignore[arg-type]
    put(kept, MOST_STORED - 1)
    assert watcher._room(kept, MODEL)
    put(kept, MOST_STORED)
    watcher._stored = MODEL, MOST_STORED
    assert not watcher._room(kept, MODEL)
    assert len(kept.kept()) == MOST_STORED
    assert kept.sweep(lambda _: False, lambda _: False, 10**9) == MOST_STORED - KEPT_EACH
    assert not watcher._room(kept, MODEL)  # counted again now and then
    monkeypatch.setattr(shadow_watch, "COUNT_AGAIN_S", 0.0)
    assert watcher._room(kept, MODEL)


@pytest.mark.parametrize(
    ("evidence", "beside"),
    [
        ("/data/evidence/", "/data/evidence-disagreements"),
        ("s3://province/evidence", "s3://province/evidence-disagreements"),
        ("s3://province", "s3://province/.disagreements"),
        ("s3://province/", "s3://province/.disagreements"),
        ("file:///data/evidence", "file:///data/evidence-disagreements"),
    ],
)
def test_they_lie_beside_the_evidence_and_never_in_another_bucket(evidence: str, beside: str) -> None:
    assert folder_beside(evidence) == beside


@pytest.mark.parametrize(
    ("labels", "how"),
    [
        (("Pedestrian", "Van"), "faces"),
        (("person", "car"), "faces"),
        (("thing",), "mosaic"),
        (("car",), "mosaic"),
        (("person",), "mosaic"),  # as opencv-hog: nobody looked for plates
        (("person", "bicycle"), "mosaic"),
    ],
)
def test_people_and_plates_are_hidden_whatever_a_model_calls_them(
    kept: Disagreements, labels: tuple[str, ...], how: str
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    meta = FrameMeta("gate", 1, 1000.0, 320, 240)
    model = SimpleNamespace(labels=labels, ref=SimpleNamespace(as_dict=dict))
    seen = SimpleNamespace(picture=SimpleNamespace(meta=meta, bgr=lambda _: noise.copy()), model=model)
    camera = SimpleNamespace(id="gate", role=SimpleNamespace(value="shared"), digest=lambda: "c")
    version = SimpleNamespace(name="street", version="2", sha256="d", card="c", labels=labels)
    order = SimpleNamespace(model=MODEL, candidate=version)
    boxes = np.array([[20, 20, 100, 220], [180, 20, 300, 220]], np.float32)
    found = Detections(boxes, np.ones(2, np.float32), np.array([0, len(labels) - 1], np.int32), labels)
    watcher = ShadowWatcher(camera, peers=[], node="n", folder=kept)  # type: ignore[arg-type]
    assert watcher.store(order, seen, [], (found, found))  # type: ignore[arg-type]
    (one,) = kept.kept()
    assert (kept.record(one) or {})["blur"] == how
    image = cv2.imdecode(np.frombuffer(kept.picture(one) or b"", np.uint8), cv2.IMREAD_GRAYSCALE).astype(float)

    def detail(y: slice, x: slice) -> float:
        return float(np.abs(np.diff(image[y, x], axis=1)).mean())

    assert detail(slice(25, 70), slice(25, 95)) < 20  # the head
    assert detail(slice(110, 210), slice(190, 290)) < 20  # the plate
    assert (detail(slice(226, 240), slice(0, 320)) < 20) is (how == "mosaic")
