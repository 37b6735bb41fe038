"""Pictures on which models differ or err, as COCO JSON for people who correct labels, and what they made of it.

COCO's format: https://cocodataset.org/#format-data (object detection). Beside its keys each picture carries under
`hoaban` what it is and its sha256: corrected labels are only taken for the pictures that were given out.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hoaban.disagreements import Sight
from hoaban.fleet_text import FleetError, FleetErrors

FILE = "labels.json"
PICTURES = "pictures"
MOST_BYTES = 256 * 2**20
SLACK = 1.0
"""pixels by which a box may reach over the picture's edge: tools round"""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture and all that is in it, as people say. camera, role, time, about: as it was given out."""

    file: str
    width: int
    height: int
    sha256: str
    camera: str
    role: str
    time: str
    things: tuple[Sight, ...]


ABOUT = ("id", "camera", "role", "time", "primary", "candidate", "evidence", "events", "simulated")
"""what is told of a picture: candidate of one on which models differ, evidence of a still of that, events of others"""


def to_coco(pictures: Iterable[tuple[Mapping[str, Any], str]], labels: Sequence[str]) -> dict[str, Any]:
    """COCO JSON of (what is known of a picture, sha256 of its JPEG). labels: the categories, in this order.

    Boxes to begin with: all that the present model saw, and what only the candidate saw or called something else. Of a
    still of evidence: the thing that it is about.
    """
    numbers = {label: number for number, label in enumerate(labels, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, (record, sha256) in enumerate(pictures, 1):
        about = {name: record[name] for name in ABOUT if name in record}
        images.append(
            {"id": image, "file_name": f"{record['id']}.jpg", "width": record["width"], "height": record["height"]}
            | {"hoaban": about | {"sha256": sha256}}
        )
        sights = [("primary", sight) for sight in record["sights"]["primary"]]
        sights += [("candidate", one["candidate"]) for one in record["differences"] if one["kind"] in NEW]
        for model, sight in sights:
            if sight["class"] not in numbers:
                continue
            x1, y1, x2, y2 = _within(sight["bbox"], record["width"], record["height"])
            if x2 - x1 <= 0 or y2 - y1 <= 0:
                continue
            box = [round(v, 1) for v in (x1, y1, x2 - x1, y2 - y1)]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": numbers[sight["class"]], "bbox": box}
                | {"area": round(box[2] * box[3], 2), "iscrowd": 0, "segmentation": []}
                | {"score": sight["score"], "seen_by": model}
            )
    categories = [{"id": number, "name": label} for label, number in numbers.items()]
    return {
        "info": {
            "description": "Pictures on which models differ, stills of evidence, or pictures of events; faces and "
            "plates hidden. Labels to be corrected"
        },
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


NEW = ("only_candidate", "class")


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A file that lies beside the labels. size: width and height, None for one that is no picture."""

    sha256: str
    size: tuple[int, int] | None


class _Faults:
    """Everything wrong, each with its path."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.errors: list[FleetError] = []

    def tell(self, path: str, message: str) -> None:
        self.errors.append(FleetError(self._file, 1, path, message))


def from_coco(file: str, text: str, files: Mapping[str, PictureFile], labels: Sequence[str]) -> tuple[Labelled, ...]:
    """Corrected labels. file: its name for messages. files: what lies beside it, by name. labels: that may be used.

    Raises FleetErrors with everything wrong at once. A picture that was left out is no fault, one without anything in
    it neither.
    """
    faults = _Faults(file)
    try:
        document = json.loads(text, parse_constant=lambda name: math.nan)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise FleetErrors([FleetError(file, line, "", f"no JSON ({error}); export it again as COCO")]) from None
    if not isinstance(document, dict):
        raise FleetErrors([FleetError(file, 1, "", "a JSON object is expected; export it again as COCO")])
    categories = _categories(document, labels, faults)
    images = _images(document, files, faults)
    things = _things(document, images, categories, faults)
    if faults.errors:
        raise FleetErrors(faults.errors)
    return tuple(
        Labelled(
            file=image["file_name"],
            width=image["width"],
            height=image["height"],
            sha256=image["hoaban"]["sha256"],
            camera=str(image["hoaban"]["camera"]),
            role=str(image["hoaban"]["role"]),
            time=str(image["hoaban"]["time"]),
            things=tuple(things.get(id, ())),
        )
        for id, image in images.items()
    )


def _rows(document: Mapping[str, Any], name: str, faults: _Faults) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a list, with their paths."""
    rows = document.get(name)
    if not isinstance(rows, list):
        faults.tell(name, "a list is expected; export it again as COCO")
        return []
    found = []
    for index, row in enumerate(rows):
        if isinstance(row, dict):
            found.append((f"{name}[{index}]", row))
        else:
            faults.tell(f"{name}[{index}]", "an object is expected; remove it")
    return found


def _id(row: Mapping[str, Any], path: str, known: Mapping[int, Any] | set[int], faults: _Faults) -> int | None:
    value = row.get("id")
    if not isinstance(value, int) or isinstance(value, bool):
        faults.tell(f"{path}.id", "a whole number is expected; give it one of its own")
        return None
    if value in known:
        faults.tell(f"{path}.id", f"{value} is given twice; give each one of its own")
        return None
    return value


def _categories(document: Mapping[str, Any], labels: Sequence[str], faults: _Faults) -> dict[int, str]:
    found: dict[int, str] = {}
    for path, row in _rows(document, "categories", faults):
        id, name = _id(row, path, found, faults), row.get("name")
        if not isinstance(name, str) or name not in labels:
            known = ", ".join(labels[:12]) + (" …" if len(labels) > 12 else "")
            faults.tell(f"{path}.name", f"{name!r} is no class of the models; use some of {known}")
        elif name in found.values():
            faults.tell(f"{path}.name", f"{name!r} is given twice; join the two")
        elif id is not None:
            found[id] = name
            continue
        if id is not None:
            found[id] = ""  # known, so that what refers to it is not told as well
    return found


def _images(
    document: Mapping[str, Any], files: Mapping[str, PictureFile], faults: _Faults
) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    names: set[str] = set()
    for path, row in _rows(document, "images", faults):
        id, name, about = _id(row, path, found, faults), row.get("file_name"), row.get("hoaban")
        if id is not None:
            found[id] = row
        if not isinstance(name, str) or name in names:
            what = f"{name!r} is given twice; remove one" if isinstance(name, str) else "is missing; add it"
            faults.tell(f"{path}.file_name", what)
            continue
        names.add(name)
        told = ("sha256", "camera", "role", "time")
        if not isinstance(about, dict) or not all(isinstance(about.get(key), str) for key in told):
            faults.tell(f"{path}.hoaban", "is missing or not whole; keep it as it was given out")
            continue
        picture = files.get(name)
        if picture is None:
            faults.tell(f"{path}.file_name", f"{name!r} is not in the folder {PICTURES}; put it there")
            continue
        if picture.sha256 != about["sha256"]:
            faults.tell(f"{path}.file_name", f"{name!r} is not the picture that was given out; put that one there")
        if picture.size is None:
            faults.tell(f"{path}.file_name", f"{name!r} is no picture; put the one that was given out there")
        elif picture.size != (row.get("width"), row.get("height")):
            width, height = picture.size
            faults.tell(path, f"the picture is {width}x{height} pixels, not as width and height say; correct them")
    return found


def _things(
    document: Mapping[str, Any], images: Mapping[int, Mapping[str, Any]], categories: Mapping[int, str], faults: _Faults
) -> dict[int, list[Sight]]:
    found: dict[int, list[Sight]] = {}
    ids: set[int] = set()
    for path, row in _rows(document, "annotations", faults):
        if (id := _id(row, path, ids, faults)) is not None:
            ids.add(id)
        image, category = row.get("image_id"), row.get("category_id")
        if not _known(image, images):
            faults.tell(f"{path}.image_id", f"no picture has the id {image!r}; correct it")
        if not _known(category, categories):
            faults.tell(f"{path}.category_id", f"no category has the id {category!r}; correct it")
        if row.get("iscrowd"):
            faults.tell(f"{path}.iscrowd", "a crowd cannot be judged; draw a box around each, or remove it")
        box = _box(row.get("bbox"))
        if box is None:
            faults.tell(f"{path}.bbox", "x, y, width, height are expected: numbers, the last two above 0; correct it")
            continue
        if not (isinstance(image, int) and _known(image, images)):
            continue
        width, height = images[image].get("width"), images[image].get("height")
        if not (isinstance(width, int) and isinstance(height, int)):
            continue  # told of the picture
        if not _inside(box, width, height):
            faults.tell(f"{path}.bbox", f"lies outside of its picture of {width}x{height} pixels; correct it")
            continue
        x1, y1, x2, y2 = _within((box[0], box[1], box[0] + box[2], box[1] + box[3]), width, height)
        if isinstance(category, int) and _known(category, categories):
            found.setdefault(image, []).append(Sight(categories[category], 1.0, (x1, y1, x2, y2)))
    return found


def _known(id: Any, ids: Mapping[int, Any]) -> bool:
    return isinstance(id, int) and not isinstance(id, bool) and id in ids


def _box(value: Any) -> tuple[float, float, float, float] | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in value):
        return None
    x, y, width, height = (float(v) for v in value)
    return (x, y, width, height) if width > 0 and height > 0 else None


def _inside(box: tuple[float, float, float, float], width: int, height: int) -> bool:
    x, y, w, h = box
    return x >= -SLACK and y >= -SLACK and x + w <= width + SLACK and y + h <= height + SLACK


def _within(box: Sequence[float], width: int, height: int) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    return max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)
