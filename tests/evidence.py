"""What tests of evidence share: candidates as a recorder leaves them, sealed packages, a real timestamp authority."""

import http.server
import io
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from actors.proof.files import PackageFiles
from hoaban.events import Event, Finding, ModelRef, Provenance, bind, format_time, utc
from hoaban.evidence import manifest as m
from hoaban.evidence.signing import Signer
from hoaban.frames import FrameMeta

AT_S = 1_790_000_000.0
MODEL = ModelRef("sim-colours", "1", "ab" * 32)


def red_light(
    camera: str = "junction",
    at_s: float = AT_S,
    track: int = 7,
    doubts: tuple[str, ...] = (),
    retention_days: int | None = None,
    size: tuple[int, int] = (320, 180),
) -> Event:
    """An event as the red-light rule gives it."""
    width, height = size
    frames = {
        name: {
            "seq": int(at_s) % 1000 + i,
            "captured_s": at_s + i * 0.5,
            "time": format_time(utc(at_s + i * 0.5)),
            "bbox": [20.0 + 20 * i, 60, 90 + 20 * i, 120],
        }
        for i, name in enumerate(("before", "at", "past"))
    }
    extra = {"frames": frames, "seconds_into_red": 1.25, "yellow_s": 3.0, "evidential": not doubts}
    extra["not_evidential_because"] = list(doubts)
    finding = Finding("red_light", "red_light:stop", track=track, label="car", line="stop", score=0.9, extra=extra)
    provenance = Provenance(MODEL, "cd" * 32, "test", "junction-2026", retention_days)
    event = bind(finding, FrameMeta(camera, 9, at_s + 1.0, width, height), "traffic_enforcement", provenance)
    return Event(event.id, event.type, event.camera, event.time, {**event.data, "evidence": event.id})


def still(grey: int = 120, size: tuple[int, int] = (320, 180)) -> bytes:
    return cv2.imencode(".jpg", np.full((size[1], size[0], 3), grey, np.uint8))[1].tobytes()


def film(frames: int = 20, fps: int = 10, size: tuple[int, int] = (320, 180)) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        track = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        track.width, track.height, track.pix_fmt = *size, "yuv420p"
        for i in range(frames):
            picture = np.full((size[1], size[0], 3), i * 5 % 250, np.uint8)
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(track.encode())
    return out.getvalue()


def candidate_files(event: Event, plate: str | None = "30A-123.45", clip: bytes | None = None) -> dict[str, bytes]:
    """The files of a candidate, candidate.json among them."""
    files = {f"{name}.jpg": still(100 + i) for i, name in enumerate(("before", "at", "past"))}
    files |= {"plate.jpg": still(200, (64, 24)), "clip.mp4": clip or b"no real clip, only bytes"}
    at_s = event.data["frames"]["at"]["captured_s"]
    candidate = {
        "version": 1,
        "event": event.to_cloudevent(),
        "frames": event.data["frames"],
        "clip": {"from_s": at_s - 1, "to_s": at_s + 1, "wanted_from_s": at_s - 6, "wanted_to_s": at_s + 6},
        "plate": {"text": plate},
        "clock": {"capture_times": "of this machine, at arrival"},
        "files": {name: m.Entry.of(data).as_dict() for name, data in files.items()},
        "missing": {},
    }
    return files | {"candidate.json": json.dumps(candidate, ensure_ascii=False).encode()}


def leave_candidate(root: Path | str, event: Event, **more: Any) -> str:
    """Put a candidate into a store, as a recorder does; its package's name."""
    PackageFiles(str(root)).write(event.id, candidate_files(event, **more), last="candidate.json")
    return event.id


def sealed_files(signer: Signer, event: Event | None = None, stamp_wanted: bool = False) -> dict[str, bytes]:
    """All files of a sealed package."""
    files = candidate_files(event or red_light())
    body = m.of_candidate(
        json.loads(files["candidate.json"]),
        files,
        key=signer.id,
        sealed="2026-01-01T00:00:00Z",
        stamp_wanted=stamp_wanted,
    )
    data = m.canonical(body)
    return files | {m.MANIFEST: data, m.SIGNATURE: signer.sign(data)}


def lay_out(folder: Path, files: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


TSA_CONFIG = """
[req]
distinguished_name = dn
[dn]
[root_ext]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[tsa_ext]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa]
default_tsa = one
[one]
serial = SERIAL
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_alg = sha256
ess_cert_id_chain = no
"""


class RealAuthority:
    """A timestamp authority: openssl ts behind HTTP. url, root: its root certificate in PEM. asked: how often."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.asked = 0
        config = TSA_CONFIG.replace("SERIAL", str(folder / "serial"))
        (folder / "tsa.cnf").write_text(config)
        (folder / "serial").write_text("01\n")
        for name, subject in (("root", "/CN=Test Root"), ("tsa", "/CN=Test TSA")):
            self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")
            self._openssl(
                "req", "-new", "-config", "tsa.cnf", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr"
            )
        sign = ("x509", "-req", "-days", "3650", "-extfile", "tsa.cnf")
        self._openssl(*sign, "-in", "root.csr", "-signkey", "root.key", "-extensions", "root_ext", "-out", "root.pem")
        ca = ("-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial")
        self._openssl(*sign, "-in", "tsa.csr", *ca, "-extensions", "tsa_ext", "-out", "tsa.pem")
        self.root = (folder / "root.pem").read_bytes()
        self.url = ""

    def answer(self, query: bytes) -> bytes:
        self.asked += 1
        (self._folder / "query.tsq").write_bytes(query)
        reply = (
            "ts",
            "-reply",
            "-config",
            "tsa.cnf",
            "-section",
            "one",
            "-queryfile",
            "query.tsq",
            "-out",
            "reply.tsr",
        )
        self._openssl(*reply, "-signer", "tsa.pem", "-inkey", "tsa.key")
        return (self._folder / "reply.tsr").read_bytes()

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)

    @contextmanager
    def serving(self) -> Iterator["RealAuthority"]:
        authority = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = authority.answer(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}/"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
