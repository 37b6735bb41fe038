"""Fetching model files from their publishers, and the detector that a demo falls back to (DESIGN 9)."""

import hashlib
import os
import tempfile
from pathlib import Path

import httpx
import structlog
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from actors.models.files import ModelPackage, cache_dir, find_model
from hoaban.models.backend import ModelError
from hoaban.models.card import OPENCV_HOG, PINNED

log = structlog.get_logger(__name__)


def best_detector() -> ModelPackage:
    """The detector a demo runs with nothing said: the first of DESIGN 9's order that is there, loudly named."""
    try:
        return find_model("yolox-nano")
    except ModelError as missing:
        log.warning(str(missing))
    try:
        pull("yolox-nano")
        return find_model("yolox-nano")
    except ModelError as missing:
        log.warning(str(missing))
    log.warning("NO TRAINED DETECTOR IS HERE: running OpenCV's HOG people detector. It sees upright people only.")
    return ModelPackage(OPENCV_HOG, None)


def pull(name: str) -> Path:
    """Fetch a model's file from its publisher into the cache, checked against the pinned digest. Raises ModelError."""
    card = PINNED.get(name)
    if card is None or card.file is None:
        raise ModelError(f"model {name!r} is not one that can be fetched; known: {', '.join(PINNED)}")
    if card.url is None:
        raise ModelError(f"model {name!r}: no publisher's address is known; put {card.file} into {cache_dir('models')}")
    target = cache_dir("models") / card.file
    try:
        data = _fetch(card.url)
    except httpx.HTTPError as error:
        raise ModelError(
            f"model {name!r}: {card.url} could not be reached ({error}); put {card.file} into {target.parent}, "
            "or set HOABAN_MODEL_PATH"
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.sha256:
        raise ModelError(
            f"model {name!r}: {card.url} gave sha256 {digest[:12]}…, {card.sha256[:12]}… is pinned; not kept"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as part:
        part.write(data)
    os.replace(part.name, target)
    return target


@retry(
    stop=stop_after_attempt(2),
    wait=wait_exponential_jitter(0.2, 2),
    retry=retry_if_exception_type(httpx.TransportError),
    reraise=True,
)
def _fetch(url: str) -> bytes:
    response = httpx.get(url, follow_redirects=True, timeout=httpx.Timeout(60, connect=5))
    response.raise_for_status()
    return response.content
