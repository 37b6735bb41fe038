"""Faces, the pure part: alignment by properties, the gate's reasons, the search, and a rule's decision."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoaban.events import Event, ModelRef
from hoaban.faces.accuracy import Search, error_rates
from hoaban.faces.align import TEMPLATE, aligned, similarity, template
from hoaban.faces.gallery import NOBODY, Gallery, WatchlistEntry, WrongModelError
from hoaban.faces.pipeline import FacePipeline
from hoaban.faces.quality import MEASURES, QualityGate, Refusal, measure
from hoaban.faces.rows import Faces, face_rows
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta, Letterbox
from tests.faces import ALL, BASIS, face_rule

W, H, D = 1280, 720, 16
MODEL, MAKER = ModelRef("faces", "1", "f" * 64), ModelRef("maker", "1", "a" * 64)
YEAR_2030_S = 1_893_456_000.0


# --- alignment


@given(st.floats(-3, 3), st.floats(0.05, 20), st.tuples(st.floats(-500, 500), st.floats(-500, 500)))
def test_any_turn_scale_and_shift_is_found_again(angle: float, scale: float, shift: tuple[float, float]) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = TEMPLATE @ turn.T + shift
    back = similarity(moved, TEMPLATE)
    assert np.allclose(moved @ back[:, :2].T + back[:, 2], TEMPLATE, atol=1e-5)


def test_a_mirrored_face_is_not_mirrored_back_and_one_point_is_no_face() -> None:
    matrix = similarity(TEMPLATE * (-1, 1), TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.ones((5, 2)), TEMPLATE)


def test_a_turned_picture_gives_the_same_crop() -> None:
    face = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (112, 112, 3), np.uint8), (0, 0), 3)
    picture = np.zeros((400, 400, 3), np.uint8)
    onto = cv2.getRotationMatrix2D((56, 56), 25, 1.6) + np.array([[0, 0, 150], [0, 0, 120]])
    cv2.warpAffine(face, onto, (400, 400), dst=picture)
    points = TEMPLATE @ onto[:, :2].T + onto[:, 2]
    crop = aligned(picture, points.astype(np.float32))
    assert np.abs(crop[10:-10, 10:-10].astype(int) - face[10:-10, 10:-10]).mean() < 3


def test_a_margin_moves_the_landmarks_to_the_middle() -> None:
    assert np.allclose(template(224), 2 * TEMPLATE)
    assert np.allclose(template(112, 0.25) - 56, (TEMPLATE - 56) / 2)


# --- the gate


def sharp() -> np.ndarray:
    return np.random.default_rng(3).integers(60, 190, (112, 112, 3), np.uint8)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, Refusal.NONE),
        ({"score": 0.3}, Refusal.UNSURE),
        ({"points": TEMPLATE / 3}, Refusal.SMALL),
        ({"points": TEMPLATE @ np.array([[0.5, -0.87], [0.87, 0.5]])}, Refusal.ROLLED),
        ({"points": TEMPLATE + np.array([[0, 0], [0, 0], [25, 0], [0, 0], [0, 0]])}, Refusal.TURNED),
        ({"points": TEMPLATE - np.array([[0, 0], [0, 0], [0, 14], [0, 0], [0, 0]])}, Refusal.TILTED),
        ({"crop": sharp() // 5}, Refusal.DARK),
        ({"crop": 255 - sharp() // 8}, Refusal.BRIGHT),
        ({"crop": cv2.GaussianBlur(np.kron(np.eye(2), np.full((56, 56), 120)), (0, 0), 9)}, Refusal.BLURRED),
    ],
)
def test_the_gate_says_why_it_refuses(change: dict, why: Refusal) -> None:
    crop = change.get("crop", sharp())
    if crop.ndim == 2:
        crop = np.repeat((crop + 60).astype(np.uint8)[..., None], 3, axis=2)
    measures = measure(change.get("points", TEMPLATE).astype(np.float32), crop)
    assert QualityGate().refusal(change.get("score", 0.9), measures) is why


# --- the search


def entry(name: str, vector: np.ndarray, **fields: object) -> WatchlistEntry:
    base = {"id": name, "watchlist": "wanted", "subject": name, "template": vector.astype(np.float32)}
    return WatchlistEntry(**(base | {"model_digest": MAKER.digest, "expires_s": YEAR_2030_S} | fields))  # type: ignore[arg-type]


def vectors(n: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(5).normal(size=(D, D)))[0][:n].astype(np.float32)


def test_the_nearest_entry_wins_and_others_of_other_lists_models_and_times_do_not() -> None:
    a, b, c = vectors(3)
    entries = [
        entry("a", a), entry("b", b, expires_s=100.0), entry("c", c, watchlist="other"),
        entry("d", c, model_digest="b" * 64),
    ]  # fmt: skip
    gallery = Gallery.for_model(entries, ["wanted"], MAKER.digest)
    assert (len(gallery), gallery.left_out, gallery.size(99.0), gallery.size(101.0)) == (2, 1, 2, 1)
    probes = np.stack([3 * a + 0.3 * b, b])
    found = gallery.search(probes, MAKER.digest, 99.0)
    assert [gallery.entries[i].id for i in found.entries] == ["a", "b"]
    assert found.similarities[0] == pytest.approx(3 / np.hypot(3, 0.3), abs=1e-5)
    late = gallery.search(probes, MAKER.digest, 101.0)
    assert [gallery.entries[i].id for i in late.entries] == ["a", "a"]
    with pytest.raises(WrongModelError, match="enrol the watchlist again"):
        gallery.search(probes, "b" * 64, 99.0)
    empty = Gallery.for_model([], ["wanted"], MAKER.digest)
    assert empty.search(probes, MAKER.digest, 0.0).entries.tolist() == [NOBODY, NOBODY]


def test_error_rates_are_counted_by_their_definition() -> None:
    searches = [
        Search("a", "a", 0.9), Search("a", "a", 0.4), Search("a", "b", 0.9), Search("a", None, -1.0),
        Search(None, "a", 0.6), Search(None, "a", 0.2), Search(None, None, -1.0),
    ]  # fmt: skip
    low, high = error_rates(searches, [0.3, 0.5])
    assert (low.fnir, low.fpir) == (2 / 4, 1 / 3)
    assert (high.fnir, high.missed, high.fpir) == (3 / 4, 3, 1 / 3)
    assert error_rates([], [0.3])[0].fnir is None


# --- the decision


def rows(*faces: tuple[float, float, np.ndarray], refusal: Refusal = Refusal.NONE) -> np.ndarray:
    """Rows of 60-pixel faces given as (centre x, centre y, template), in pixels of a 1280 x 720 input."""
    found = np.zeros((len(faces), 16), np.float32)
    for row, (x, y, _) in enumerate(faces):
        found[row, :5] = x - 30, y - 30, x + 30, y + 30, 0.9
    return face_rows(
        found,
        np.zeros((len(faces), len(MEASURES)), np.float32),
        np.full(len(faces), refusal, np.int32),
        np.stack([t for *_, t in faces]) if faces else np.zeros((0, D), np.float32),
    )


def walk(
    camera: Camera,
    frames: Sequence[np.ndarray],
    entries: Sequence[WatchlistEntry],
    start_s: float = 0.0,
    once: Sequence[Event] = (),
) -> tuple[list[Event], FacePipeline]:
    pipeline = FacePipeline(camera, "0")
    pipeline.set_watchlist(entries)
    pipeline.resume(once)
    events = []
    for i, frame in enumerate(frames):
        meta = FrameMeta("cam", i, start_s + i / 3, W, H)
        events += pipeline.step_rows(meta, frame, Letterbox(1.0, W, H), MODEL, MAKER)
    return events, pipeline


@pytest.fixture
def watching(make_camera: Callable[..., Camera]) -> Callable[..., Camera]:
    def make(**fields: object) -> Camera:
        return make_camera(role="face_crowd", zones=[ALL, LEFT], rules=[face_rule(**fields)])

    return make


LEFT = {"id": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}


def test_one_passage_is_one_proposal_that_says_all_an_officer_needs(watching: Callable[..., Camera]) -> None:
    a, b, other = vectors(3)
    passage = [rows((100 + 40 * i, 300, a + 0.2 * i * other), (1000, 300, other)) for i in range(5)]
    (event,), pipeline = walk(watching(), passage, [entry("a", a), entry("b", b)])
    data = event.data
    assert (event.type, data["entry"], data["gallery_size"], data["threshold"]) == (
        "hoaban.face_watchlist", "a", 2, 0.5,
    )  # fmt: skip
    assert (data["similarity"], data["frames_agreed"], data["best_frame"]["seq"]) == (1.0, 3, 0)
    assert data["template_model"] == MAKER.as_dict()
    assert data["lawful_basis"]["document"] == BASIS["document"]
    assert data["status"] == "proposed"
    assert "officer" in data["note"]
    assert data["evidential"] is False
    assert pipeline.status(2.0)["rules"]["face_watchlist:all"]["silent"] is None
    assert pipeline.status(2.0)["proposals"] == 1


def test_too_few_frames_a_refused_face_and_a_stranger_are_not_proposed(watching: Callable[..., Camera]) -> None:
    a, b, other = vectors(3)
    entries = [entry("a", a), entry("b", b)]
    assert walk(watching(), [rows((300, 300, a))] * 2 + [rows()] * 30 + [rows((300, 300, a))] * 2, entries)[0] == []
    assert walk(watching(), [rows((300, 300, other))] * 9, entries)[0] == []
    refused = [rows((300, 300, a), refusal=Refusal.BLURRED)] * 9
    events, pipeline = walk(watching(), refused, entries)
    assert events == []
    assert pipeline.status(3.0)["faces_refused"] == {"blurred": 9}


def test_frames_that_disagree_propose_nobody(watching: Callable[..., Camera]) -> None:
    a, b = vectors(2)
    frames = [rows((300, 300, (a, b)[i % 2])) for i in range(20)]
    assert walk(watching(), frames, [entry("a", a), entry("b", b)])[0] == []


def test_votes_of_two_people_do_not_add_up(watching: Callable[..., Camera]) -> None:
    """Each of two faces looks like the person now and then: no track has three frames."""
    a, other = vectors(2)
    frames = [rows((200, 300, a if i in (0, 3) else other), (1000, 300, a if i in (1, 4) else other)) for i in range(6)]
    assert walk(watching(), frames, [entry("a", a)])[0] == []


def test_who_stays_is_proposed_once_and_who_comes_back_again(watching: Callable[..., Camera]) -> None:
    a = vectors(1)[0]
    here, away = [rows((300, 300, a))], [rows()]
    camera = watching(cooldown_s=20)
    assert len(walk(camera, here * 300, [entry("a", a)])[0]) == 1
    assert len(walk(camera, here * 9 + away * 30 + here * 9, [entry("a", a)])[0]) == 1
    assert len(walk(camera, here * 9 + away * 75 + here * 9, [entry("a", a)])[0]) == 2


def test_who_was_proposed_before_a_restart_is_proposed_again_after_the_cooldown_only(
    watching: Callable[..., Camera],
) -> None:
    a, b = vectors(2)
    here, camera, entries = [rows((300, 300, a))], watching(cooldown_s=20), [entry("a", a), entry("b", b)]
    told, _ = walk(camera, here * 9, entries)
    assert walk(camera, here * 90, entries, 10, told)[0] == []  # who stays all the time stays proposed
    assert len(walk(camera, [rows((300, 300, b))] * 9, entries, 10, told)[0]) == 1
    assert len(walk(camera, here * 9, entries, 30, told)[0]) == 1


def test_votes_of_a_passage_are_forgotten_half_a_minute_after_it(watching: Callable[..., Camera]) -> None:
    a = vectors(1)[0]
    for empty, kept in ((80, 1), (95, 0)):  # three a second
        _, pipeline = walk(watching(), [rows((300, 300, a))] * 2 + [rows()] * empty, [entry("a", a)])
        assert [len(rule._passages) for rule in pipeline._rules] == [kept]


def test_only_the_zone_is_searched_and_the_model_does_not_see_the_rest(watching: Callable[..., Camera]) -> None:
    a = vectors(1)[0]
    camera = watching(zone="left")
    assert len(walk(camera, [rows((300, 300, a))] * 5, [entry("a", a)])[0]) == 1
    events, pipeline = walk(camera, [rows((900, 300, a))] * 5, [entry("a", a)])
    assert events == []
    assert pipeline.status(2.0)["rules"]["face_watchlist:left"]["faces_searched"] == 0
    margin, pipeline = walk(camera, [rows((660, 300, a))] * 5, [entry("a", a)])  # seen by the model, not searched
    assert margin == []
    assert pipeline.status(2.0)["rules"]["face_watchlist:left"]["faces_searched"] == 0
    pixels = np.full((736, 1280, 3), 7, np.uint8)
    pipeline.hide_outside(pixels, Letterbox(1.0, 1280, 736), W, H)
    assert (pixels[:700, :640] == 7).all()
    assert (pixels[:, 720:] == 114).all()


@pytest.mark.parametrize(
    ("entries", "start_s", "words"),
    [
        (lambda a: [entry("a", a)], 4_100_000_000.0, "the lawful basis '12/QĐ' ended"),
        (lambda a: [], 0.0, "no approved entry in wanted"),
        (lambda a: [entry("a", a, expires_s=50.0)], 60.0, "no approved entry in wanted"),
        (lambda a: [entry("a", a, model_digest="b" * 64)], 0.0, "made by another model"),
    ],
)
def test_a_rule_without_right_or_reason_is_silent_and_says_so(
    watching: Callable[..., Camera], entries: Callable, start_s: float, words: str
) -> None:
    a = vectors(1)[0]
    events, pipeline = walk(watching(), [rows((300, 300, a))] * 9, entries(a), start_s)
    assert events == []
    assert words in pipeline.status(start_s + 3)["rules"]["face_watchlist:all"]["silent"]
    assert not pipeline.wants(start_s + 3)


def test_before_the_watchlist_is_there_no_face_is_looked_for(watching: Callable[..., Camera]) -> None:
    pipeline = FacePipeline(watching(), "0")
    assert not pipeline.wants(0.0)
    pipeline.set_watchlist([entry("a", vectors(1)[0])])
    assert pipeline.wants(0.0)
    assert not FacePipeline(watching(), "0", law_not_before_s=4_100_000_000.0).wants(0.0)


def test_rows_are_brought_back_to_the_source_frame() -> None:
    faces = Faces.from_rows(rows((100, 50, vectors(1)[0])), Letterbox(0.5, 640, 360), W, H)
    assert faces.boxes.tolist() == [[140, 40, 260, 160]]
    assert faces.templates.shape == (1, D)
    assert len(Faces.from_rows(np.zeros((0, 6), np.float32), Letterbox(1, 1, 1), W, H)) == 0
    with pytest.raises(ValueError, match="carry no faces"):
        Faces.from_rows(np.zeros((1, 6), np.float32), Letterbox(1, 1, 1), W, H)
