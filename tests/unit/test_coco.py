"""Disagreements to COCO JSON and corrected labels back: round trips, every fault, and models judged by them."""

import contextlib
import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from actors.labels import files_of, read_labels, take_in
from cli.main import main
from hoaban.coco import PictureFile, from_coco, to_coco
from hoaban.detections import Detections
from hoaban.evaluation.pictures import errors_of
from hoaban.fleet_text import FleetErrors
from tests.blocks import write_block_model

LABELS = ["thing", "car"]
WIDTH, HEIGHT = 64, 48


def record(number: int, primary: list[Any], differences: list[Any] = []) -> dict[str, Any]:  # noqa: B006
    return {
        "id": f"{number:015d}.gate.{number:08x}",
        "camera": "gate",
        "role": "overview",
        "time": f"2026-01-31T08:{number // 60:02d}:{number % 60:02d}.000000Z",
        "primary": {"name": "street", "version": "1", "digest": "a"},
        "candidate": {"name": "street", "version": "2", "digest": "b"},
        "differences": differences,
        "sights": {"primary": primary, "candidate": []},
        "labels": {"primary": LABELS, "candidate": LABELS},
        "width": WIDTH,
        "height": HEIGHT,
        "simulated": False,
    }


def sight(label: str, box: tuple[float, ...]) -> dict[str, Any]:
    return {"class": label, "score": 0.9, "bbox": list(box)}


boxes = st.tuples(st.integers(0, 500), st.integers(0, 300), st.integers(10, 139), st.integers(10, 179)).map(
    lambda b: (b[0] / 10, b[1] / 10, (b[0] + b[2]) / 10, (b[1] + b[3]) / 10)
)
pictures = st.lists(st.lists(st.tuples(st.sampled_from(LABELS), boxes), max_size=4), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(pictures, pictures)
def test_what_is_given_out_comes_back_and_cocos_own_reader_reads_it(ours: list, theirs: list) -> None:
    records = []
    for number, things in enumerate(ours):
        new = theirs[number] if number < len(theirs) else []
        differences = [{"kind": "only_candidate", "primary": None, "candidate": sight(*one)} for one in new]
        records.append(record(number, [sight(*one) for one in things], differences))
    text = json.dumps(document := to_coco([(one, "ab" * 32) for one in records], LABELS))
    files = {f"{one['id']}.jpg": PictureFile("ab" * 32, (WIDTH, HEIGHT)) for one in records}
    back = from_coco("labels.json", text, files, LABELS)
    coco = COCO()
    coco.dataset = document
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    assert len(back) == len(coco.getImgIds()) == len(ours)
    for number, (labelled, image) in enumerate(zip(back, coco.getImgIds(), strict=True)):
        wanted = ours[number] + (theirs[number] if number < len(theirs) else [])
        theirs_read = coco.loadAnns(coco.getAnnIds(image))
        assert [thing.label for thing in labelled.things] == [label for label, _ in wanted]
        for thing, (_, box), theirs_one in zip(labelled.things, wanted, theirs_read, strict=True):
            assert thing.bbox == pytest.approx(box, abs=0.11)
            x, y, w, h = theirs_one["bbox"]
            assert (x, y, x + w, y + h) == pytest.approx(thing.bbox, abs=1e-6)
            assert coco.cats[theirs_one["category_id"]]["name"] == thing.label
        assert (labelled.camera, labelled.role) == ("gate", "overview")


def given_out() -> dict[str, Any]:
    things = [sight("thing", (1, 1, 9, 9)), sight("car", (20, 20, 30, 30))]
    return to_coco([(record(1, things), "ab" * 32), (record(2, []), "cd" * 32)], LABELS)


def told(document: Any) -> list[str]:
    images = given_out()["images"]
    files = {one["file_name"]: PictureFile(one["hoaban"]["sha256"], (WIDTH, HEIGHT)) for one in images}
    with pytest.raises(FleetErrors) as raised:
        from_coco("labels.json", document if isinstance(document, str) else json.dumps(document), files, LABELS)
    return [str(error) for error in raised.value.errors]


def edited(*path: Any, to: Any) -> dict[str, Any]:
    document: Any = copy.deepcopy(given_out())
    part = document
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = to
    return dict(document)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "no JSON"),
        ("[" * 10**5, "no JSON"),
        ([], "a JSON object is expected"),
        ({}, "images: a list is expected"),
        (edited("annotations", to={}), "annotations: a list is expected"),
        (edited("annotations", 0, to=7), "annotations[0]: an object is expected"),
        (edited("annotations", 0, "image_id", to=99), "annotations[0].image_id: no picture has the id 99"),
        (edited("annotations", 0, "image_id", to=[1]), "no picture has the id [1]"),
        (edited("annotations", 0, "category_id", to=99), "annotations[0].category_id: no category has the id 99"),
        (edited("annotations", 1, "id", to=1), "annotations[1].id: 1 is given twice"),
        (edited("annotations", 0, "id", to="x"), "annotations[0].id: a whole number is expected"),
        (edited("annotations", 0, "bbox", to=[60, 1, 20, 5]), "annotations[0].bbox: lies outside of its picture"),
        (edited("annotations", 0, "bbox", to=[-9, 1, 20, 5]), "lies outside of its picture of 64x48"),
        (edited("annotations", 0, "bbox", to=[1, 1, 0, 5]), "the last two above 0"),
        (edited("annotations", 0, "bbox", to=[1, 1, float("nan"), 5]), "numbers"),
        (edited("annotations", 0, "bbox", to=[1, 1, True, 5]), "numbers"),
        (edited("annotations", 0, "iscrowd", to=1), "a crowd cannot be judged"),
        (edited("categories", 0, "name", to="dragon"), "categories[0].name: 'dragon' is no class of the models"),
        (edited("categories", 1, "name", to="thing"), "'thing' is given twice"),
        (edited("categories", 1, "id", to=1), "categories[1].id: 1 is given twice"),
        (edited("images", 1, "id", to=1), "images[1].id: 1 is given twice"),
        (edited("images", 0, "file_name", to="../../etc/passwd"), "is not in the folder pictures"),
        (edited("images", 1, "file_name", to=f"{1:015d}.gate.{1:08x}.jpg"), "is given twice; remove one"),
        (edited("images", 0, "hoaban", to=None), "keep it as it was given out"),
        (edited("images", 0, "hoaban", "sha256", to="00"), "is not the picture that was given out"),
        (edited("images", 0, "width", to=640), "the picture is 64x48 pixels"),
    ],
)
def test_every_fault_is_told_with_its_place(document: Any, words: str) -> None:
    errors = told(document)
    assert any(words in error for error in errors), errors
    assert all(error.startswith("labels.json:") for error in errors)


def test_all_faults_are_told_at_once() -> None:
    document = edited("annotations", 0, "image_id", to=99)
    document["annotations"][1]["bbox"] = [0, 0, -1, 0]
    document["categories"][0]["name"] = "dragon"
    document["images"][1]["width"] = 1
    assert len(told(document)) == 4


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_written_into_it_nothing_but_faults_come(data: st.DataObject) -> None:
    document: Any = copy.deepcopy(given_out())
    rows = document[data.draw(st.sampled_from(["images", "annotations", "categories"]))]
    row = data.draw(st.sampled_from(rows))
    key = data.draw(st.sampled_from(sorted(row)))
    odd = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers())
    row[key] = data.draw(odd | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))
    files = {one["file_name"]: PictureFile(one["hoaban"]["sha256"], (WIDTH, HEIGHT)) for one in given_out()["images"]}
    with contextlib.suppress(FleetErrors):
        from_coco("labels.json", json.dumps(document), files, LABELS)


def test_errors_of_a_model_on_a_picture() -> None:
    text = json.dumps(given_out())
    files = {one["file_name"]: PictureFile(one["hoaban"]["sha256"], (WIDTH, HEIGHT)) for one in given_out()["images"]}
    first = from_coco("labels.json", text, files, LABELS)[0]

    def seen(*rows: tuple[int, float, tuple[float, ...]]) -> Detections:
        box = np.array([row[2] for row in rows], np.float32).reshape(-1, 4)
        scores, classes = np.array([row[1] for row in rows], np.float32), np.array([row[0] for row in rows], np.int32)
        return Detections(box, scores, classes, ("car", "thing", "boat"))

    right = errors_of(first, tuple(LABELS), seen((1, 0.6, (1, 1, 9, 9)), (0, 0.9, (20, 20, 30, 30))))
    assert (right.count, right.told) == (0, 2)
    unsure = errors_of(first, tuple(LABELS), seen((1, 0.4, (1, 1, 9, 9)), (0, 0.9, (20, 20, 30, 30))))
    assert [one.label for one in unsure.missed] == ["thing"]
    called = errors_of(first, tuple(LABELS), seen((0, 0.9, (1, 1, 9, 9)), (0, 0.9, (20, 20, 30, 30))))
    assert (len(called.wrong_class), called.count) == (1, 1)
    # Nobody was asked to look for boats, so none is false.
    boats = errors_of(first, tuple(LABELS), seen((2, 0.9, (50, 40, 60, 47))))
    assert (len(boats.missed), len(boats.false)) == (2, 0)


# --- on disk


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """90 pictures with a white block in each, as they are given out, and the right labels."""
    write_block_model(tmp_path / "models", "street")
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(tmp_path / "models"))
    made = []
    for number in range(90):
        picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
        x, y = 4 + number % 40, 4 + number % 28
        picture[y : y + 12, x : x + 12] = 255
        jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        one = record(number, [sight("thing", (x, y, x + 12, y + 12))])
        made.append((one | {"labels": {"primary": ["thing"], "candidate": ["thing"]}}, jpeg))
    for name, data in files_of(made).items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(data)
    return tmp_path


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(str(ended.value.code))


def test_labels_become_a_suite_that_models_are_judged_on(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = ["--suite", str(labelled / "suite")]
    taken = ["models", "import-coco", str(labelled / "out"), *suite]
    assert exit_code(*taken, "--name", "march") == 0
    assert "90 pictures with 90 things" in capsys.readouterr().out
    assert exit_code(*taken, "--name", "march") == 2
    assert "is there already" in capsys.readouterr().err
    assert exit_code(*taken, "--name", "../march") == 2
    capsys.readouterr()
    blind = write_block_model(labelled / "other", "blind", 0.3, version="2")
    good = write_block_model(labelled / "other", "good", 0.8, version="3")
    for name, code in ((blind, 1), (good, 0)):
        command = ["models", "evaluate", str(labelled / "other" / name), "--against", "street", *suite]
        assert exit_code(*command, "--json", "--data", str(labelled)) == code
        report = json.loads(capsys.readouterr().out)
        (one,) = report["recordings"]
        assert (one["name"], one["role"], one["truths"], len(one["segments"])) == ("march/gate", "overview", 90, 90)
        assert len(one["candidate"]["missed"]) == 90 * code
        assert one["present"]["missed"] == []


def test_a_picture_that_was_altered_and_one_that_is_a_link_stay_out(labelled: Path) -> None:
    first, second, third = sorted((labelled / "out" / "pictures").iterdir())[:3]
    first.write_bytes(first.read_bytes() + b"x")
    second.unlink()
    second.symlink_to(third)
    with pytest.raises(FleetErrors) as raised:
        take_in(labelled / "out", labelled / "suite", "march")
    errors = [str(error) for error in raised.value.errors]
    assert len(errors) == 2
    assert "is not the picture that was given out" in errors[0]
    assert "is not in the folder pictures" in errors[1]
    assert not (labelled / "suite").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "labels.json").unlink(), "cannot be read"),
        (lambda f: (f / "labels.json").write_bytes(b"\xff"), "not UTF-8"),
        (lambda f: (f / "labels.json").write_text('{"images": [], "annotations": [], "categories": []}'), "no picture"),
    ],
)
def test_what_is_no_such_folder(labelled: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(labelled / "out")
    with pytest.raises(FleetErrors, match=words):
        read_labels(labelled / "out")
