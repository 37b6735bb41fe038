"""Ways to bring a model input to another process and rows back: what was tried for the frame path, and what it costs.

Each way carries the same 416 x 416 x 3 picture and brings ten rows back, one picture at a time; the receiver reads all
of it. Milliseconds of the round trip (median, 95th percentile) and of processor time of both sides together.
"""

import os
import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import ray
from numpy.typing import NDArray
from ray import serve

from actors import wire
from actors.local_ray import start_local
from actors.mailbox import MailboxReader, MailboxWriter, Shape

SHAPE = Shape(416, 416)
ROUNDS = 400
BATCH = 4
ROWS = np.zeros((10, 6), np.float32)

Pixels = NDArray[np.uint8]


def _work(pixels: Pixels) -> NDArray[np.float32]:
    """Stands for the model: every byte is read once."""
    if int(pixels[..., 0].max()) < 0:
        raise ValueError("never")
    return ROWS


@ray.remote
class Receiver:
    """The other side of every way that goes through Ray, and of the mailbox."""

    def pid(self) -> int:
        return os.getpid()

    def one(self, pixels: Pixels) -> NDArray[np.float32]:
        return _work(pixels)

    def many(self, pixels: list[Pixels]) -> list[NDArray[np.float32]]:
        return [_work(picture) for picture in pixels]

    def mailbox(self, at: str) -> None:
        """Serve one mailbox until its camera leaves, as actors/seats.py and actors/workers.py do."""
        listener = wire.listen(at)
        connection, _ = listener.accept()
        _, fd = wire.receive(connection)
        assert fd is not None
        reader, into = MailboxReader(fd, SHAPE), np.empty((SHAPE.height, SHAPE.width, 3), np.uint8)
        try:
            while True:
                wire.receive(connection)
                seq = reader.copy_newest(into) or 0
                connection.send(wire.pack_result(wire.Result(1, seq, 0.0, 0.0, _work(into))))
        except ConnectionError:
            listener.close()


def _timed(call: Callable[[Pixels], Any], pids: list[int], per_call: int = 1) -> dict[str, float]:
    picture = np.random.default_rng(1).integers(0, 255, (SHAPE.height, SHAPE.width, 3), np.uint8)
    for _ in range(20):
        call(picture)
    processes = [psutil.Process(pid) for pid in pids]
    cpu_s, took = sum(sum(p.cpu_times()[:2]) for p in processes), []
    for _ in range(ROUNDS // per_call):
        began = time.perf_counter()
        call(picture)
        took.append(time.perf_counter() - began)
    cpu_s = sum(sum(p.cpu_times()[:2]) for p in processes) - cpu_s
    return {
        "p50_ms": round(float(np.percentile(took, 50)) * 1e3, 2),
        "p95_ms": round(float(np.percentile(took, 95)) * 1e3, 2),
        "cpu_ms_per_picture": round(cpu_s / len(took) / per_call * 1e3, 2),
    }


def _through_mailbox(receiver: Any) -> tuple[Callable[[Pixels], Any], Callable[[], None]]:
    at = wire.address(os.urandom(4).hex(), "transport")
    receiver.mailbox.remote(at)
    connection: socket.socket | None = None
    while connection is None:
        try:
            connection = wire.connect(at, 5.0)
        except OSError:
            time.sleep(0.05)
    connection.settimeout(None)
    mailbox = MailboxWriter(SHAPE)
    wire.send_json(connection, {"height": SHAPE.height, "width": SHAPE.width}, mailbox.fd)
    seq = 0

    def call(picture: Pixels) -> None:
        nonlocal seq
        seq += 1
        np.copyto(mailbox.begin(), picture)
        mailbox.commit(seq)
        connection.send(wire.pack_offer(seq))
        wire.unpack_result(wire.receive(connection)[0])

    def close() -> None:
        connection.close()
        mailbox.close()

    return call, close


def _through_graph(receiver: Any) -> tuple[Callable[[Pixels], Any], Callable[[], None]]:
    from ray.dag import InputNode

    with InputNode() as given:
        graph = receiver.one.bind(given)
    compiled = graph.experimental_compile()
    return (lambda picture: ray.get(compiled.execute(picture))), compiled.teardown


def measure() -> dict[str, Any]:
    """way -> figures; a way that this Ray cannot go says why."""
    start_local(os.cpu_count())
    found: dict[str, Any] = {}
    try:
        me = os.getpid()

        def new() -> tuple[Any, list[int]]:
            receiver = Receiver.options(num_cpus=0).remote()
            return receiver, [me, ray.get(receiver.pid.remote())]

        receiver, pids = new()
        call, close = _through_mailbox(receiver)
        found["mailbox in shared memory (in use)"] = _timed(call, pids)
        close()
        receiver, pids = new()
        try:
            call, close = _through_graph(receiver)
            found["compiled graph channel"] = _timed(call, pids)
            close()
        except Exception as error:  # experimental in Ray: what it raises is not promised
            found["compiled graph channel"] = {"not measured": str(error).splitlines()[0]}
        receiver, pids = new()
        found["actor call, array as argument"] = _timed(lambda p: ray.get(receiver.one.remote(p)), pids)
        found["actor call, ray.put reference"] = _timed(lambda p: ray.get(receiver.one.remote(ray.put(p))), pids)
        found[f"actor call, {BATCH} arrays at once"] = _timed(
            lambda p: ray.get(receiver.many.remote([p] * BATCH)), pids, BATCH
        )
        found["Serve deployment handle"] = _serve(me)
    finally:
        serve.shutdown()
        ray.shutdown()
    return found


def _serve(me: int) -> dict[str, float]:
    @serve.deployment(ray_actor_options={"num_cpus": 0})
    class Model:
        def pid(self) -> int:
            return os.getpid()

        def one(self, pixels: Pixels) -> NDArray[np.float32]:
            return _work(pixels)

    handle = serve.run(Model.bind(), name="transport", route_prefix="/transport")
    pid = handle.pid.remote().result()
    return _timed(lambda picture: handle.one.remote(picture).result(), [me, pid])
