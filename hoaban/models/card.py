"""The card of a model package (DESIGN 6): what the model is, what it wants and where it comes from."""

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hoaban.events import ModelRef
from hoaban.faces.quality import QualityGate
from hoaban.models.labels import COCO_80
from hoaban.sim.colours import LABELS as SIM_LABELS

BACKENDS = ("onnx", "torch", "opencv-hog", "opencv-sim", "deepface", "parts")
"""that come with this software"""


class InputSpec(BaseModel):
    """The picture a model wants: uint8 BGR, letterboxed with 114 at the bottom and right."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    width: int = Field(ge=32, le=4096)
    height: int = Field(ge=32, le=4096)
    scale: float = Field(1.0, gt=0, description="what each 0..255 value is multiplied by before the model")
    colour: Literal["bgr", "rgb"] = "bgr"


class EmbedSpec(BaseModel):
    """How a face becomes a template. The crop is as wide and high as the card's input."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    dimension: int = Field(ge=8, le=4096, description="numbers of a template")
    mean: tuple[float, float, float] = Field((0.0, 0.0, 0.0), description="taken off each channel after input.scale")
    std: tuple[float, float, float] = Field((1.0, 1.0, 1.0), description="what each channel is divided by after that")
    margin: float = Field(0.0, ge=0, lt=0.4, description="share of the crop around the face")
    deepface: str | None = Field(None, description="the model's name in deepface, for the back end deepface")


class FacesSpec(BaseModel):
    """The parts of a face model: who finds faces, who makes templates, and which faces are good enough."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    detector: str = Field(description="a model of the task face: NAME or NAME@VERSION")
    embedder: str = Field(description="a model of the task embed: NAME or NAME@VERSION")
    gate: QualityGate = QualityGate()


class ModelCard(BaseModel):
    """One version of a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    task: Literal["detect", "face", "embed", "faces"] = Field(
        description="detect: objects; face: boxes and landmarks; embed: templates of aligned faces; faces: all of it"
    )
    backend: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]*$",
        description=f"one of {', '.join(BACKENDS)}, or one that an installed package brings (docs/models.md)",
    )
    decoder: Literal["yolox", "fastestdet", "rows"] = Field(
        "rows", description="how outputs become boxes; rows: (n, 6) x1, y1, x2, y2, score, class in input pixels"
    )
    file: str | None = Field(None, description="the model file beside the card")
    sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    labels: tuple[str, ...] = ()
    input: InputSpec
    embed: EmbedSpec | None = Field(None, description="for the task embed")
    faces: FacesSpec | None = Field(None, description="for the task faces, whose back end is parts")
    min_score: float = Field(0.25, ge=0, le=1, description="rows below are never reported")
    nms_iou: float = Field(0.5, ge=0, le=1)
    url: str | None = Field(None, description="the publisher's address of the file")
    licence: str
    origin: str
    data: str = ""
    known_failures: str = ""

    @model_validator(mode="after")
    def _says_what_its_task_needs(self) -> "ModelCard":
        if (self.task == "embed") != (self.embed is not None):
            raise ValueError("embed is for the task embed, which needs it")
        if (self.task == "faces") != (self.faces is not None) or (self.task == "faces") != (self.backend == "parts"):
            raise ValueError("faces and the back end parts are for the task faces, which needs both")
        if self.backend == "deepface" and not (self.embed and self.embed.deepface):
            raise ValueError("embed.deepface must name the model for the back end deepface")
        return self

    @property
    def ref(self) -> ModelRef:
        return ModelRef(self.name, self.version, self.sha256, self.digest())

    def digest(self) -> str:
        """sha256 of the card in canonical form. A threshold changed in it makes another model of the same file."""
        text = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


YOLOX_NANO = ModelCard(
    name="yolox-nano",
    version="0.1.1",
    task="detect",
    backend="onnx",
    decoder="yolox",
    file="yolox_nano.onnx",
    sha256="e8af074932d4ed7e232278e3055cefcdea3edf178874a3694ae292649fb464dd",
    labels=COCO_80,
    input=InputSpec(width=416, height=416),
    url="https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/yolox_nano.onnx",
    licence="Apache-2.0 (believed; the pinned file came without a licence file)",
    origin="believed to be Megvii's YOLOX release; it equals a BSD-3 copy within fp16. That the publisher's address "
    "gives this digest has not been checked",
    data="COCO 2017",
    known_failures="steep top-down views; people under about 25 pixels high in the 416-pixel input",
)
FASTEST_DET = ModelCard(
    name="fastestdet",
    version="1.0.0",
    task="detect",
    backend="onnx",
    decoder="fastestdet",
    file="FastestDet.onnx",
    sha256="31cb14c017fce347cb4c846ec62fdf00d76bb3beecdf4be21e7116ac67feb880",
    labels=COCO_80,
    input=InputSpec(width=352, height=352, scale=1 / 255),
    licence="BSD-3-Clause",
    origin="dog-qiuqiu/FastestDet",
    data="COCO 2017",
    known_failures="small and crowded objects: one box per 16-pixel cell",
)
OPENCV_HOG = ModelCard(
    name="opencv-hog",
    version="1.0.0",
    task="detect",
    backend="opencv-hog",
    labels=("person",),
    input=InputSpec(width=640, height=480),
    min_score=0.0,
    licence="Apache-2.0",
    origin="people detector inside OpenCV; needs no weights (Dalal, Triggs, CVPR 2005)",
    data="INRIA Person",
    known_failures="sees upright people from about 100 pixels high only; no vehicles; slow",
)
SIM_COLOURS = ModelCard(
    name="sim-colours",
    version="1.0.0",
    task="detect",
    backend="opencv-sim",
    labels=SIM_LABELS,
    input=InputSpec(width=640, height=360),
    min_score=0.2,
    licence="Apache-2.0",
    origin="part of this software: finds things in simulated pictures by the colours that tell their classes",
    data="none",
    known_failures="anything but a simulated picture; things of one class that hide each other may be one",
)
YUNET = ModelCard(
    name="yunet",
    version="2023.3",
    task="face",
    backend="onnx",
    file="yunet_n_dynamic.onnx",
    sha256="104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
    labels=("face",),
    input=InputSpec(width=640, height=480),
    licence="Apache-2.0",
    origin="ShiqiYu/libfacedetection.train",
    data="WIDER FACE",
)
MOBILEFACENET = ModelCard(
    name="mobilefacenet",
    version="1.0.0",
    task="embed",
    backend="onnx",
    file="MobileFaceNet.onnx",
    sha256="b7120c095d60094f28a4a54ba6a8bf51b297a6273fb40ef6350dfec1f63d9507",
    input=InputSpec(width=112, height=112, scale=1 / 255, colour="rgb"),
    embed=EmbedSpec(dimension=128, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    licence="Apache-2.0",
    origin="foamliu/MobileFaceNet",
    data="MS-Celeb-1M. A DATA-RIGHTS CONCERN: its pictures were collected from the web without the consent of the "
    "people shown, and its publisher withdrew it in 2019. Whether a model trained on it may be used is for the "
    "authority that states the lawful basis to decide",
    known_failures="small, blurred and turned faces, which the quality gate refuses; error rates were not measured on "
    "a public benchmark here, nor by sex, age or skin colour: models of this kind are known to differ between groups",
)
DLIB_RESNET = ModelCard(
    name="dlib-resnet",
    version="1.0.0",
    task="embed",
    backend="deepface",
    file="dlib_face_recognition_resnet_model_v1.dat",
    sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    input=InputSpec(width=150, height=150),
    embed=EmbedSpec(dimension=128, margin=0.15, deepface="Dlib"),
    licence="CC0-1.0 (public domain)",
    origin="davisking/dlib-models; the package face-recognition-models ships it",
    data="about 3 million faces of FaceScrub, VGG and the web, as its author says",
    known_failures="slow: one face costs many times what mobilefacenet costs; thresholds of other models do not hold",
)
FACES = ModelCard(
    name="faces",
    version="1.0.0",
    task="faces",
    backend="parts",
    labels=("face",),
    input=InputSpec(width=1280, height=736),
    faces=FacesSpec(detector="yunet", embedder="mobilefacenet"),
    min_score=0.5,
    licence="that of its parts",
    origin="yunet, alignment by five landmarks, mobilefacenet",
    data="see its parts",
    known_failures="see its parts, and docs/roles/face-watchlist.md",
)
PINNED = {
    card.name: card
    for card in (YOLOX_NANO, FASTEST_DET, YUNET, OPENCV_HOG, SIM_COLOURS, MOBILEFACENET, DLIB_RESNET, FACES)
}
