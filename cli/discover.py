"""`hoaban discover`: the ONVIF cameras of this network, each with what to paste into a fleet file."""

import logging
import os
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer
import yaml

from actors.onvif import OnvifMissingError, ask, search
from cli.common import print_json, refuse
from hoaban.integrations.discovery import Answer, Found, fleet_entry

PASSWORD = "HOABAN_ONVIF_PASSWORD"  # noqa: S105 - a variable's name
NOBODY = (
    "no camera answered. WS-Discovery is multicast (239.255.255.250, UDP 3702) and stays in one network: run this on a "
    "machine of the cameras' network, with a route for multicast, and see that ONVIF is on in the cameras and no "
    "firewall keeps UDP 3702 back"
)


def discover(
    for_s: Annotated[float, typer.Option("--for", min=0.5, max=120, metavar="SECONDS", help="wait for answers")] = 4.0,
    user: Annotated[str | None, typer.Option(help=f"to sign in with; its password in {PASSWORD}")] = None,
    limit_s: Annotated[
        float, typer.Option("--limit", min=1, max=120, metavar="SECONDS", help="to ask a camera")
    ] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
) -> None:
    """Look for ONVIF cameras and print a fleet entry for each. Changes nothing. Exit code 1: none answered."""
    password = os.environ.get(PASSWORD)
    if user and password is None:
        refuse(f"--user: the password is taken from {PASSWORD}; set it")
    logging.getLogger().setLevel(logging.CRITICAL)  # the libraries log requests, with what is in them
    try:
        cameras = search(for_s)
        answers = ask(cameras, user, password if user else None, limit_s)
    except OnvifMissingError as missing:
        refuse(f"{missing}; pip install 'hoaban[onvif]'")
    except OSError as error:
        refuse(f"the network cannot be searched: {error.strerror or error}; is UDP port 3702 free, and any network up?")
    shown = [_shown(camera, answer, bool(user)) for camera, answer in zip(cameras, answers, strict=True)]
    if as_json:
        print_json({"cameras": shown})
    elif shown:
        _print(shown)
    else:
        print(NOBODY, file=sys.stderr)
    raise typer.Exit(0 if shown else 1)


def _shown(camera: Found, answer: Answer, signs_in: bool) -> dict[str, Any]:
    first = answer.streams[0] if answer.streams else None
    entry = fleet_entry(camera, first, signs_in=signs_in)
    return asdict(camera) | asdict(answer) | {"entry": entry}


def _print(shown: list[dict[str, Any]]) -> None:
    for one in shown:
        about = " ".join(filter(None, (one["maker"], one["model"], one["firmware"])))
        print(f"# {one['address']}  {one['name']}  {about}  profiles: {', '.join(one['profiles']) or 'none told'}")
        for stream in one["streams"]:
            size = "x".join(map(str, stream["size"] or ())) or "size not told"
            print(f"#   {stream['profile']}: {stream['source']} ({size})")
        if one["why"]:
            print(f"#   not asked further: {one['why']}")
    print("# role, district and owner are yours to set; the variables of user and password, too")
    entries = [one["entry"] for one in shown]
    print(yaml.safe_dump({"cameras": entries}, allow_unicode=True, sort_keys=False), end="")
