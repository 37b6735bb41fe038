"""A camera's ONVIF side as a process: `python tests/onvif_device.py NAME ADDRESS PORT [USER PASSWORD]`.

ipycam's own services answer; the test puts it on PYTHONPATH.
"""

import http.server
import sys
from types import SimpleNamespace

from ipycam.config import CameraConfig
from ipycam.discovery import WSDiscoveryServer
from ipycam.http import IPCameraHTTPHandler
from ipycam.onvif import ONVIFService


def main(name: str, address: str, port: str, user: str = "", password: str = "") -> None:
    config = CameraConfig(name=name, local_ip=address, onvif_port=int(port), username=user, password=password)
    service = ONVIFService(config)
    # WS-Discovery calls the action of its answers ProbeMatches; this version of ipycam leaves the end off.
    answer = service._templates["probe_match"]
    service._templates["probe_match"] = answer.replace("/ProbeMatch</wsa:Action>", "/ProbeMatches</wsa:Action>")
    IPCameraHTTPHandler.camera = SimpleNamespace(config=config, onvif=service)  # type: ignore[assignment]
    WSDiscoveryServer(service).start()
    print("ready", flush=True)
    http.server.ThreadingHTTPServer((address, int(port)), IPCameraHTTPHandler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
