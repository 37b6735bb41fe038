"""Stills of evidence for people who correct labels: nobody in them can be recognised, the offender neither.

They are made of the copies in which everybody but the subject is hidden already (actors/proof/redact.py): no unblurred
picture is read. The subject is hidden too: faces, plate, and the head of whoever is not inside a vehicle.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np

from actors.blur import FaceBlur, hide_plates
from actors.models import ModelError, find_model
from actors.proof.desk import Desk, NotReadyError
from actors.proof.redact import STILL_QUALITY, STILLS
from actors.store.evidence import CaseRow, Decision
from hoaban.evidence.review import RefusedError
from hoaban.privacy import PEOPLE_WORDS, named

BLURRED = "faces"
"""what FaceBlur says of a picture in which something can still be labelled"""
CLOSED = frozenset({"car", "bus", "truck"})
"""whose people sit behind glass, where the face detector looks for them"""


class LabelStills:
    """Makes them. A case that is not as it was sealed, or not ready yet, gives none."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._blur: FaceBlur | None = None

    def of(self, case: CaseRow, decision: Decision | None) -> Iterator[tuple[dict[str, Any], bytes]]:
        """What is known of each still (as hoaban/coco.py wants it), and its JPEG. Raises OSError when storage is away.

        decision: the last one, by which people see why it is among these.
        """
        if not case.redacted or case.redacted == "mosaic":
            return
        try:
            data = self._desk.manifest(case)["event"]["data"]
            names = self._desk.shown(case)
            for moment in STILLS:
                if f"{moment}.jpg" in names:
                    jpeg = self._desk.redacted(case, f"{moment}.jpg")
                    if (still := self._still(case, decision, data, moment, jpeg)) is not None:
                        yield still
        except (FileNotFoundError, KeyError, NotReadyError, RefusedError):
            return

    def _still(
        self, case: CaseRow, decision: Decision | None, data: Mapping[str, Any], moment: str, jpeg: bytes
    ) -> tuple[dict[str, Any], bytes] | None:
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            return None
        frame, label = data["frames"][moment], str(data["class"])
        box = np.array([frame["bbox"]], np.float32)
        self._blur = self._blur or FaceBlur()
        picture, how = self._blur.apply(picture, box[:0] if label in CLOSED else box)
        if how != BLURRED:
            return None
        if not named((label,), PEOPLE_WORDS):  # whatever its model calls what it rides in
            hide_plates(picture, box)
        hidden = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, STILL_QUALITY])[1].tobytes()
        model = dict(data["model"])
        sight = {"class": label, "score": data["score"] or 0.0, "bbox": [round(float(v), 1) for v in frame["bbox"]]}
        about = {"id": case.id, "type": case.type, "moment": moment, "state": case.state.value}
        if decision is not None:
            about |= {"because": decision.reason}
        return {
            "id": f"{case.id}.{moment}",
            "camera": case.camera,
            "role": str(data["role"]),
            "time": frame["time"],
            "primary": model,
            "evidence": about,
            "differences": [],
            "sights": {"primary": [sight]},
            "labels": {"primary": _labels(model, label), "candidate": []},
            "width": picture.shape[1],
            "height": picture.shape[0],
            "simulated": case.simulated,
        }, hidden


def _labels(model: Mapping[str, Any], seen: str) -> list[str]:
    """The classes that people may correct to: those of the model that saw it, as far as it is here."""
    try:
        known = list(find_model(f"{model['name']}@{model['version']}").card.labels)
    except ModelError:
        known = []
    return known if seen in known else [seen, *known]
