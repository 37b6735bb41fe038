"""The mailbox between two processes: a reader gets whole frames only, in whatever order stores become visible."""

import multiprocessing
import os

import numpy as np
import pytest

from actors.mailbox import _SEQ, _SUM, MailboxReader, MailboxWriter, Shape

SHAPE = Shape(90, 160)


def ends() -> tuple[MailboxWriter, MailboxReader, np.ndarray]:
    writer = MailboxWriter(SHAPE)
    return writer, MailboxReader(os.dup(writer.fd), SHAPE), np.zeros((SHAPE.height, SHAPE.width, 3), np.uint8)


def test_the_newest_whole_frame_only() -> None:
    writer, reader, into = ends()
    assert reader.copy_newest(into) is None
    for seq in (7, 8):
        writer.begin()[:] = seq
        writer.commit(seq)
    assert reader.copy_newest(into) == 8
    writer.begin()[:2] = 99  # a writer killed here leaves the frame before it whole
    assert reader.copy_newest(into) == 8
    assert (into == 8).all()
    with pytest.raises(RuntimeError, match="without begin"):
        ends()[0].commit(1)
    with pytest.raises(ValueError, match="too small"):
        MailboxReader(os.dup(writer.fd), Shape(400, 600))


@pytest.mark.parametrize("late", ["a pixel", "the number", "the checksum"])
def test_whatever_is_seen_late_is_not_taken_for_a_frame(late: str) -> None:
    writer, reader, into = ends()
    pixels = writer.begin()
    pixels[:] = np.random.default_rng(1).integers(0, 256, pixels.shape)
    writer.commit(5)
    header = writer._mapping.header
    parts = {
        "a pixel": pixels[70, 80, :1],
        "the number": header[_SEQ + writer._slot :][:1],
        "the checksum": header[_SUM + writer._slot :][:1],
    }
    part = parts[late]
    was = part[0].copy()
    part[0] += 1
    assert reader.copy_newest(into) is None
    part[0] = was
    assert reader.copy_newest(into) == 5


def _write(writer: MailboxWriter, stop: object) -> None:
    seq = 0
    while not stop.is_set():  # type: ignore[attr-defined]
        seq += 1
        writer.begin()[:] = seq % 251
        writer.commit(seq)


def test_a_reader_beside_a_writer_that_never_rests_gets_whole_frames_in_order() -> None:
    writer, reader, into = ends()
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    process = context.Process(target=_write, args=(writer, stop), daemon=True)
    process.start()
    seen: list[int] = []
    while len(seen) < 50:
        seq = reader.copy_newest(into)
        if seq is not None and seq not in seen:
            assert (into == seq % 251).all()
            seen.append(seq)
    stop.set()
    process.join(10)
    assert seen == sorted(seen)
