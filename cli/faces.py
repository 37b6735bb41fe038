"""`hoaban faces`: how often the face search errs, on pictures of one's own."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from actors.models import ModelError, find_model, load_face_model
from actors.models.face_model import FaceModel
from cli.common import print_json, refuse
from hoaban.faces.accuracy import Search, error_rates
from hoaban.faces.gallery import NOBODY, Gallery, WatchlistEntry
from hoaban.faces.quality import Refusal
from hoaban.faces.rows import REFUSAL, TEMPLATE

app = typer.Typer(no_args_is_help=True, help="Faces: measure the watchlist search.")

Pixels = NDArray[np.uint8]
SUFFIXES = {".jpg", ".jpeg", ".png"}
THRESHOLDS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class _Probe:
    """One face of a known person. template: None when the gate refused it."""

    subject: str
    name: str
    template: NDArray[np.float32] | None
    refused: str | None
    made: bool


@app.callback()
def faces() -> None:
    """Keeps `evaluate` a command of its own, also while it is the only one."""


@app.command()
def evaluate(
    gallery: Annotated[int, typer.Option(min=1, help="how many people are enrolled in each round")],
    pairs: Annotated[Path, typer.Option(metavar="DIR", help="pictures as SUBJECT/*.jpg, one person in each")],
    threshold: Annotated[list[float] | None, typer.Option(help="similarity; may be given several times")] = None,
    model: Annotated[str, typer.Option(help="a model of the task faces: NAME[@VERSION]")] = "faces",
    degrade: Annotated[
        bool, typer.Option("--degrade", help="also search blurred, small, dark, bright and turned copies")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
) -> None:
    """FNIR and FPIR (ISO/IEC 19795-1) at a stated gallery size.

    Each person's first picture that passes the quality gate is enrolled, all others are searched. The people who are
    enrolled change from round to round, so that each is once among them and once outside.
    """
    cv2.setNumThreads(1)
    pictures = _pictures(pairs)
    try:
        face_model = load_face_model(find_model(model), device="cpu")
        face_model.warm_up()
    except ModelError as error:
        refuse(str(error))
    probes = _read(pictures, face_model, degrade)
    report = _report(probes, gallery, sorted(threshold or THRESHOLDS), face_model)
    report["pairs"], report["degraded_copies"] = str(pairs), degrade
    if as_json:
        print_json(report)
        return
    print(
        f"{report['subjects']} people, {report['pictures']} pictures, {report['rounds']} rounds of gallery size "
        f"{gallery}; {report['failure_to_acquire']:.1%} refused {report['refused']}"
    )
    print("threshold   FNIR              FPIR")
    for rate in report["rates"]:
        print(
            f"{rate['threshold']:9.2f}   {_share(rate['fnir'], rate['missed'], rate['mated'])}   "
            f"{_share(rate['fpir'], rate['false_alarms'], rate['non_mated'])}"
        )


def _share(rate: float | None, errors: int, of: int) -> str:
    return f"{'-' if rate is None else f'{rate:.4f}'} ({errors}/{of})".ljust(16)


def _report(probes: list[_Probe], size: int, thresholds: list[float], model: FaceModel) -> dict[str, Any]:
    enrolled: dict[str, _Probe] = {}
    entries: dict[str, WatchlistEntry] = {}
    for probe in probes:
        if probe.template is not None and not probe.made and probe.subject not in enrolled:
            enrolled[probe.subject] = probe
            entries[probe.subject] = WatchlistEntry(
                probe.name, "evaluation", probe.subject, probe.template, model.template.digest, FOREVER
            )
    people = sorted(enrolled)
    if len(people) < size + 1:
        refuse(
            f"a gallery of {size} needs pictures of at least {size + 1} people that pass the quality gate, so that "
            f"someone is left to search who is not enrolled; there are {len(people)}. Give more, or a smaller --gallery"
        )
    searched = [probe for probe in probes if probe is not enrolled.get(probe.subject)]
    searches: list[Search] = []
    for start in range(len(people)):
        inside = [people[(start + step) % len(people)] for step in range(size)]
        gallery = Gallery.for_model([entries[name] for name in inside], ["evaluation"], model.template.digest)
        # Of those outside, the enrolled picture was not used in this round, so it may be searched, too.
        asked = [probe for probe in searched if probe.template is not None]
        asked += [enrolled[name] for name in people if name not in inside]
        templates = np.stack([probe.template for probe in asked if probe.template is not None])
        found = gallery.search(templates, model.template.digest, 0.0)
        for probe, index, similarity in zip(asked, found.entries.tolist(), found.similarities.tolist(), strict=True):
            mate = probe.subject if probe.subject in inside else None
            candidate = None if index == NOBODY else gallery.entries[index].subject
            searches.append(Search(mate, candidate, similarity))
    refused = Counter(probe.refused for probe in probes if probe.refused)
    return {
        "gallery_size": size,
        "subjects": len(people),
        "pictures": len(probes),
        "rounds": len(people),
        "failure_to_acquire": sum(refused.values()) / len(probes),
        "refused": dict(sorted(refused.items())),
        "definition": "ISO/IEC 19795-1, open-set identification, best candidate alone (R = 1), one frame a search",
        "model": model.ref.as_dict(),
        "template_model": model.template.as_dict(),
        "rates": [rate.as_dict() for rate in error_rates(searches, thresholds)],
    }


def _pictures(folder: Path) -> list[Path]:
    pictures = sorted(p for p in folder.glob("*/*") if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not pictures:
        refuse(f"{folder}: no picture SUBJECT/*.jpg is in it; put each person's pictures into a folder of their own")
    return pictures


def _read(pictures: list[Path], model: FaceModel, degrade: bool) -> list[_Probe]:
    probes = []
    for path in pictures:
        try:
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        except cv2.error:  # larger than OpenCV takes
            picture = None
        if picture is None:
            refuse(f"{path}: is no picture that can be read; remove it")
        picture = np.asarray(picture, np.uint8)
        if (scale := model.input_height / picture.shape[0]) < 1:
            picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        probes.append(_probe(model, picture, path, ""))
        if degrade:
            probes += [_probe(model, made, path, name) for name, made in degraded(picture).items()]
    return probes


def _probe(model: FaceModel, picture: Pixels, path: Path, made: str) -> _Probe:
    """The face of a picture: where several are found, the surest."""
    subject, name = path.parent.name, f"{path.name} {made}".strip()
    rows = model.faces(picture)
    if len(rows) == 0:
        return _Probe(subject, name, None, "no_face", bool(made))
    refusal = Refusal(int(rows[0, REFUSAL]))
    if refusal != Refusal.NONE:
        return _Probe(subject, name, None, refusal.name.lower(), bool(made))
    return _Probe(subject, name, rows[0, TEMPLATE:].copy(), None, bool(made))


def degraded(picture: Pixels) -> dict[str, Pixels]:
    """Worse copies of an (h, w, 3) picture, as a camera in the street might have taken it. The same every time."""
    height, width = picture.shape[:2]
    noise = np.random.default_rng(1).normal(0, 12, picture.shape)

    def turned(degrees: float) -> Pixels:
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        return np.asarray(cv2.warpAffine(picture, matrix, (width, height)), np.uint8)

    def scaled(share: float) -> Pixels:
        small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)

    def light(factor: float) -> Pixels:
        return np.clip(picture.astype(np.float32) * factor, 0, 255).astype(np.uint8)

    return {
        "blurred": np.asarray(cv2.GaussianBlur(picture, (0, 0), 2), np.uint8),
        "half size": scaled(0.5),
        "third size": scaled(1 / 3),
        "dark": light(0.45),
        "bright": light(1.4),
        "turned left": turned(15),
        "turned right": turned(-15),
        "noisy": np.clip(picture + noise, 0, 255).astype(np.uint8),
        "compressed": np.asarray(
            cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], cv2.IMREAD_COLOR), np.uint8
        ),
    }
