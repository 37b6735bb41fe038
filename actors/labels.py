"""Labelled pictures on disk: given out as a folder of COCO JSON, taken back as a suite for `hoaban models evaluate`.

A folder has labels.json and the folder pictures. A suite of pictures is the same folder, in a suite's folder.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from actors.models.files import readable_models
from hoaban.coco import FILE, MOST_BYTES, PICTURES, PictureFile, from_coco, to_coco
from hoaban.detections import Detections
from hoaban.evaluation.pictures import PictureErrors, PictureSuite, errors_of
from hoaban.fleet_text import FleetError, FleetErrors
from hoaban.frames import Letterbox
from hoaban.models.backend import Detector

MOST_PICTURE_BYTES = 32 * 2**20


def labels_of(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """The classes of the models that pictures are about, those of the candidates first."""
    found = [label for record in records for side in ("candidate", "primary") for label in record["labels"][side]]
    return list(dict.fromkeys(found))


def files_of(pictures: Sequence[tuple[Mapping[str, Any], bytes]]) -> dict[str, bytes]:
    """The files of a folder to correct labels in. pictures: what is known of each, and its JPEG."""
    document = to_coco(
        [(record, hashlib.sha256(jpeg).hexdigest()) for record, jpeg in pictures],
        labels_of(record for record, _ in pictures),
    )
    files = {f"{PICTURES}/{record['id']}.jpg": jpeg for record, jpeg in pictures}
    return files | {FILE: json.dumps(document, ensure_ascii=False, indent=1).encode()}


def write_labels(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files_of` into a new or empty folder, whole or not at all. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "labels"
        (made / PICTURES).mkdir(parents=True)
        for name, data in files.items():
            (made / name).write_bytes(data)
        if folder.exists():
            folder.rmdir()
        made.rename(folder)


def read_labels(folder: Path, name: str | None = None) -> PictureSuite:
    """Corrected labels, checked. name: of the suite, by default the folder's. Raises FleetErrors: all that is wrong."""
    path = folder / FILE
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FleetErrors([FleetError(str(path), 1, "", f"more than {MOST_BYTES // 2**20} MiB; split it")])
        text = path.read_text(encoding="utf-8")
        files = dict(_files(folder / PICTURES))
    except UnicodeDecodeError as error:
        raise FleetErrors([FleetError(str(path), 1, "", f"not UTF-8 text ({error.reason}); save it so")]) from None
    except OSError as error:
        message = f"cannot be read: {error.strerror}; name the folder that has {FILE} and {PICTURES}"
        raise FleetErrors([FleetError(str(error.filename or path), 1, "", message)]) from None
    known = list(dict.fromkeys(label for package in readable_models() for label in package.card.labels))
    pictures = from_coco(str(path), text, files, known)
    asked = tuple(row["name"] for row in json.loads(text)["categories"])
    if not pictures:
        raise FleetErrors([FleetError(str(path), 1, "images", "no picture is in it; give some out first")])
    return PictureSuite(name or folder.resolve().name, asked, pictures)


def take_in(folder: Path, suite: Path, name: str) -> PictureSuite:
    """Copy checked labels and their pictures into a suite's folder, whole or not at all.

    Raises FleetErrors: all that is wrong with them; OSError; FileExistsError where one of that name is there.
    """
    place = suite / name
    if place.exists():
        raise FileExistsError(17, "is there already; give it another name with --name", str(place))
    found = read_labels(folder)
    suite.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".labels-", dir=suite) as scratch:
        copy = Path(scratch) / name
        (copy / PICTURES).mkdir(parents=True)
        shutil.copyfile(folder / FILE, copy / FILE)
        for picture in found.pictures:
            shutil.copyfile(folder / PICTURES / picture.file, copy / PICTURES / picture.file, follow_symlinks=False)
        checked = read_labels(copy, name)  # the copy is what is judged by
        copy.rename(place)
    return checked


def is_labelled(folder: Path) -> bool:
    return (folder / FILE).is_file()


def look(suite: PictureSuite, folder: Path, detector: Detector) -> list[PictureErrors]:
    """What a model makes of each picture. Raises what the model raises."""
    return [
        errors_of(picture, suite.labels, _seen(cv2.imread(str(folder / PICTURES / picture.file)), detector))
        for picture in suite.pictures
    ]


def _seen(picture: NDArray[np.uint8], detector: Detector) -> Detections:
    height, width = picture.shape[:2]
    letterbox = Letterbox.fit(width, height, detector.input_width, detector.input_height)
    fitted = max(2, round(width * letterbox.scale)), max(2, round(height * letterbox.scale))
    pixels = np.full((1, detector.input_height, detector.input_width, 3), 114, np.uint8)
    pixels[0, : fitted[1], : fitted[0]] = cv2.resize(picture, fitted, interpolation=cv2.INTER_LINEAR)
    (rows,) = detector.infer(pixels)
    return Detections.from_rows(rows, letterbox, tuple(detector.labels), width, height)


def _files(folder: Path) -> Iterator[tuple[str, PictureFile]]:
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.is_symlink() or path.stat().st_size > MOST_PICTURE_BYTES:
            continue
        data = path.read_bytes()
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        size = None if image is None else (int(image.shape[1]), int(image.shape[0]))
        yield path.name, PictureFile(hashlib.sha256(data).hexdigest(), size)
