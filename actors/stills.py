"""Recent analysed pictures, so that what a rule finds a moment later can still be shown.

The newest are held as they were decoded; those that a rule may need (its pins) become JPEGs before they would be
forgotten. Most pictures are never encoded.
"""

from collections import OrderedDict

import cv2
import structlog

from actors.picture import Picture

log = structlog.get_logger(__name__)

RAW_BYTES = 48 * 2**20
KEPT_BYTES = 48 * 2**20
JPEG_QUALITY = 92


class StillRing:
    """Pictures of one camera by frame number, in bounded memory. One caller at a time."""

    def __init__(self, raw_bytes: int = RAW_BYTES, kept_bytes: int = KEPT_BYTES) -> None:
        self._raw_bytes, self._kept_bytes = raw_bytes, kept_bytes
        self._raw: OrderedDict[int, Picture] = OrderedDict()
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._raw_size = self._kept_size = 0

    def __len__(self) -> int:
        return len(self._raw) + len(self._kept)

    @property
    def nbytes(self) -> int:
        """Bytes held, of pictures and of JPEGs."""
        return self._raw_size + self._kept_size

    def add(self, picture: Picture) -> None:
        """The newest analysed picture; the oldest go when there is no room."""
        if picture.meta.seq in self._raw:
            return
        self._raw[picture.meta.seq] = picture
        self._raw_size += _size(picture)
        while self._raw_size > self._raw_bytes and len(self._raw) > 1:
            self._raw_size -= _size(self._raw.popitem(last=False)[1])

    def pin(self, wanted: set[int]) -> None:
        """Keep just these as JPEGs, as far as they are still there."""
        for seq in [seq for seq in self._kept if seq not in wanted]:
            self._kept_size -= len(self._kept.pop(seq))
        for seq in sorted(wanted - self._kept.keys()):
            if (data := self.jpeg(seq)) is not None:
                self._kept[seq] = data
                self._kept_size += len(data)
        while self._kept_size > self._kept_bytes and len(self._kept) > 1:
            seq, data = self._kept.popitem(last=False)
            self._kept_size -= len(data)
            log.warning("a still was given up: too many are wanted at once", seq=seq, kept=len(self._kept))

    def jpeg(self, seq: int) -> bytes | None:
        """A picture at the source's size as JPEG, None when it is gone."""
        if (data := self._kept.get(seq)) is not None:
            return data
        picture = self._raw.get(seq)
        return None if picture is None else encode(picture)


def encode(picture: Picture) -> bytes:
    """JPEG of a picture at its own size."""
    ok, data = cv2.imencode(".jpg", picture.bgr(picture.meta.width), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise ValueError(f"frame {picture.meta.seq} could not be encoded as JPEG")
    return data.tobytes()


def _size(picture: Picture) -> int:
    """Bytes of a decoded 4:2:0 picture."""
    return picture.meta.width * picture.meta.height * 3 // 2
