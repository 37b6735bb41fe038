"""ONVIF cameras in this network: found by WS-Discovery, and asked for what they are and where their streams are.

Libraries do both: WSDiscovery probes on every address of this machine that is not a loopback one, onvif-zeep-async
asks. They come with `pip install 'hoaban[onvif]'`.
"""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from hoaban.integrations.discovery import Answer, Found, Stream, found, plain, without_user

NVT = "http://www.onvif.org/ver10/network/wsdl", "NetworkVideoTransmitter"
MOST_AT_ONCE = 16


class OnvifMissingError(RuntimeError):
    """The libraries are not installed."""


def search(seconds: float) -> list[Found]:
    """The cameras that answered within that time, by their addresses. Raises OnvifMissingError, OSError."""
    try:
        from wsdiscovery import QName
        from wsdiscovery.discovery import ThreadedWSDiscovery
    except ImportError as missing:
        raise OnvifMissingError(str(missing)) from None
    wsd = ThreadedWSDiscovery()
    wsd.start()
    try:
        services = wsd.searchServices(types=[QName(*NVT)], timeout=seconds)
    finally:
        wsd.stop()
    cameras = (found(one.getXAddrs(), [str(scope) for scope in one.getScopes()]) for one in services)
    return sorted({one for one in cameras if one is not None}, key=lambda one: (one.address, one.name))


def ask(cameras: Sequence[Found], user: str | None, password: str | None, limit_s: float) -> list[Answer]:
    """What each of them tells within limit_s; in the same order. Raises OnvifMissingError."""
    try:
        import onvif  # noqa: F401
    except ImportError as missing:
        raise OnvifMissingError(str(missing)) from None
    return asyncio.run(_ask_all(cameras, user, password, limit_s))


async def _ask_all(cameras: Sequence[Found], user: str | None, password: str | None, limit_s: float) -> list[Answer]:
    room = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(camera: Found) -> Answer:
        if not camera.service:
            return Answer(why="it names no address of a private network, so it is not asked")
        async with room:
            try:
                return await asyncio.wait_for(_ask(camera, user, password), limit_s)
            except TimeoutError:
                return Answer(why=f"no answer within {limit_s:g} s")

    return await asyncio.gather(*(one(camera) for camera in cameras))


async def _ask(camera: Found, user: str | None, password: str | None) -> Answer:
    from onvif import ONVIFCamera

    address = urlsplit(camera.service)
    port = address.port or (443 if address.scheme == "https" else 80)
    # NAT override: the credentials go to the address that was probed, whatever others the device names.
    device = ONVIFCamera(camera.address, port, user or "", password or "", adjust_time=True, nat_override=True)
    try:
        await device.update_xaddrs()
        what = await (await device.create_devicemgmt_service()).GetDeviceInformation()
        media = await device.create_media_service()
        streams = []
        for profile in await media.GetProfiles():
            setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
            uri = await media.GetStreamUri({"StreamSetup": setup, "ProfileToken": profile.token})
            encoder = profile.VideoEncoderConfiguration
            size = encoder.Resolution if encoder is not None else None
            streams.append(
                Stream(plain(profile.Name), without_user(uri.Uri), None if size is None else (size.Width, size.Height))
            )
        return Answer(plain(what.Manufacturer), plain(what.Model), plain(what.FirmwareVersion), tuple(streams))
    except Exception as error:  # a device may answer anything, and the libraries raise as many kinds
        return Answer(why=_in_words(error))
    finally:
        await device.close()


def _in_words(error: Exception) -> str:
    """Why it told nothing, without what it says itself beyond a line."""
    text = plain(str(error) or type(error).__name__)
    if any(word in text.lower() for word in ("authoriz", "authent", "401")):
        return f"it wants another user or password: give --user, and the password in HOABAN_ONVIF_PASSWORD ({text})"
    return text
