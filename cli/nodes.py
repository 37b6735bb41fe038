"""`hoaban nodes`, `drain`, `undrain`, `upgrade`: the machines of a running cluster, emptied one by one, and new code.

The commands leave their wish on the live store; the supervisor carries it out, and goes on when the command ended.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import redis
import typer

from actors.board import DRAINS, ERA, NODES, Board
from cli.common import data_folder, one_line, print_json, refuse, store_or_refuse
from cli.dead_letters import url_or_refuse
from cli.recording import recorded
from cli.renewal import ASKED, HEAD

SILENT_S = 20.0
LOOK_S = 0.5
Data = Annotated[Path | None, typer.Option(help="folder of `hoaban up`")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on standard output")]
Limit = Annotated[float, typer.Option("--limit", min=0, metavar="SECONDS", help="how long to wait for the end of it")]
Name = Annotated[
    str, typer.Argument(metavar="NODE", help="as `hoaban nodes` names it: host, address, or how its id begins")
]
Reason = Annotated[str | None, typer.Option(help="why, in words: it is recorded")]


def nodes(data: Data = None, as_json: AsJson = False) -> None:
    """The machines of the running cluster: what each offers, and whether it is drained."""
    board = _board(data_folder(data))
    view = _view(board)
    if as_json:
        print_json(view)
        return
    for id_, node in view["nodes"].items():
        offers = f"{node['cpus']} processors, {node['gpus']} GPUs" + "".join(f", site {site}" for site in node["sites"])
        print(f"{id_[:12]}  {node['address']:15}  {node['state']:8}  {'head, ' if node['head'] else ''}{offers}")


def drain(
    node: Name,
    reason: Reason = None,
    end: Annotated[bool, typer.Option("--end", help="have Ray end the node's processes when it is empty")] = False,
    data: Data = None,
    limit_s: Limit = 600.0,
    as_json: AsJson = False,
) -> None:
    """Move all that a machine carries elsewhere, and let nothing come to it. Exit code 1: not all of it yet."""
    folder = data_folder(data)
    board = _board(folder)
    view = _view(board)
    id_ = _one(view, node)
    if view["nodes"][id_]["head"]:
        refuse(f"{node}: the head governs the cluster and cannot be drained; end the system with Ctrl-C instead")
    asked = {other: how for other, how in _asked(board).items() if other in view["nodes"]}
    if not any(one["cpus"] for other, one in view["nodes"].items() if other != id_ and other not in asked):
        refuse(f"{node}: no other node would be left to carry cameras and models; start one first")
    with recorded(folder, "node.drain", id_, reason=reason, end=end):
        board.put_json(DRAINS, asked | {id_: {"end": end}})
    shown = dict[str, Any]()

    def done() -> bool:
        shown.update(_seen(_view(board), id_, shown.get("state")))
        return shown["state"] in ("drained", "gone") or bool(shown.get("halted"))

    _wait(done, limit_s, lambda: f"{len(shown.get('left', ()))} cameras left")
    trouble = drain_trouble(shown)
    if as_json:
        told = {key: shown.get(key) for key in ("state", "moved", "left", "stuck", "lost")}
        print_json({"node": id_, "drained": shown["state"] == "drained"} | told)
    else:
        for camera, to in (shown.get("moved") or {}).items():
            print(f"moved    {camera}  to {to[:12] if to else 'nowhere yet'}")
        for camera, why in (shown.get("stuck") or {}).items():
            print(f"stuck    {camera}  {why}")
        print(f"not done: {trouble}" if trouble else f"{len(shown.get('moved') or ())} cameras moved; drained")
    raise typer.Exit(1 if trouble else 0)


def undrain(node: Name, reason: Reason = None, data: Data = None) -> None:
    """Let a machine carry cameras and models again. Cameras that left it stay where they are."""
    folder = data_folder(data)
    board = _board(folder)
    id_ = _one(_view(board), node)
    asked = _asked(board)
    if id_ not in asked:
        refuse(f"{node}: it is not drained; nothing to take back")
    with recorded(folder, "node.undrain", id_, reason=reason):
        board.put_json(DRAINS, {other: how for other, how in asked.items() if other != id_})
    print(f"{id_[:12]} carries cameras and models again")


def upgrade(reason: Reason = None, data: Data = None, limit_s: Limit = 1800.0, as_json: AsJson = False) -> None:
    """Replace every process of the running system by one with the code that is installed now, one after another.

    Exit code 1: not all of them yet, or one did not come back.
    """
    folder = data_folder(data)
    board = _board(folder)
    _view(board)
    if errors := (board.get_json("fleet") or {}).get("errors"):  # new code may refuse the last good one
        refuse(
            f"the fleet file as it is now is refused: {errors[0]}; mend it or take the edit back, then upgrade; what "
            "needs the new version is written into it afterwards"
        )
    store_or_refuse(folder).close()  # brings the tables up to date: they fit the old code, too, see docs/runbook.md
    eras = [(board.get_json(key) or {}).get("era") or "0" for key in (ERA, ASKED)]  # an earlier one may have failed
    era = str(max(map(int, eras)) + 1)
    with recorded(folder, "system.upgrade", era, reason=reason):
        board.put_json(ASKED, {"era": era})
    shown = dict[str, Any]()

    def done() -> bool:
        head, view = board.get_json(HEAD) or {}, board.get_json(NODES) or {}
        shown.clear()
        shown.update(view.get("upgrade", {}) if view.get("era") == era else {})
        shown["error"] = (head.get("error") if head.get("era") == era else "") or replacing_trouble(shown)
        shown["step"] = head.get("step") if head.get("era") == era else "not begun"
        return bool(shown.get("done") or shown["error"])

    in_time = _wait(done, limit_s, lambda: f"{shown['step']}; {len(shown.get('left', ()))} cameras left")
    fits = in_time and not shown["error"]
    if as_json:
        print_json({"era": era, "done": fits} | {key: shown.get(key) for key in ("replaced", "left", "lost", "error")})
    elif fits:
        print(f"replaced: the head's parts, the models, {len(shown['replaced'])} cameras")
    else:
        print(f"not done: {shown['error'] or shown['step']}; it goes on by itself where nothing is wrong")
    raise typer.Exit(0 if fits else 1)


def _seen(view: Mapping[str, Any], node: str, before: str | None) -> dict[str, Any]:
    """What the supervisor tells of a node. One that it tells of no more is "gone", unless it was drained before."""
    if node in view["nodes"]:
        return dict(view["nodes"][node])
    return {"state": "drained" if before == "drained" or node in view.get("ended", ()) else "gone"}


def drain_trouble(shown: Mapping[str, Any]) -> str:
    """Why a node is not drained with all cameras well elsewhere, by what was told of it last; "" where it is."""
    if shown.get("halted"):
        return str(shown["halted"])
    if shown["state"] == "gone":
        return (
            "it left the cluster before it was seen empty; events may lie in its spool, and are sent when a node "
            "runs on that machine again"
        )
    if shown["state"] != "drained":
        return "it is not empty yet, and goes on by itself; `hoaban undrain` takes it back"
    return _without_pictures(shown.get("lost"))


def replacing_trouble(shown: Mapping[str, Any]) -> str:
    """What is wrong with cameras that an upgrade replaced; lost ones are told of when the others are through."""
    return str(shown.get("halted") or "") or (_without_pictures(shown.get("lost")) if shown.get("done") else "")


def _without_pictures(lost: Sequence[str] | None) -> str:
    return f"{', '.join(lost)} gave pictures before the move and none since; all else is through" if lost else ""


def _board(folder: Path) -> Board:
    return Board(url_or_refuse(folder))


def _view(board: Board) -> dict[str, Any]:
    try:
        view = board.get_json(NODES)
    except redis.RedisError as error:
        refuse(f"the live store does not tell: {one_line(error)}; try again")
    if view is None or time.time() - view["at_s"] > SILENT_S:
        refuse("the supervisor does not tell of its nodes; is `hoaban up` running, and how is its log?")
    return view


def _asked(board: Board) -> dict[str, Any]:
    return board.get_json(DRAINS) or {}


def _one(view: dict[str, Any], name: str) -> str:
    found = [
        id_
        for id_, node in view["nodes"].items()
        if name and (id_.startswith(name) or name in (node["address"], node["host"]))
    ]
    if len(found) != 1:
        _refuse_name(name, found)
    return found[0]


def _refuse_name(name: str, found: list[str]) -> NoReturn:
    if not found:
        refuse(f"{name}: no such node; `hoaban nodes` names them")
    refuse(f"{name}: {len(found)} nodes are called so; name one of {', '.join(id_[:12] for id_ in found)}")


def _wait(done: Callable[[], bool], limit_s: float, progress: Callable[[], str]) -> bool:
    """Whether it was done within the limit; what is new of the progress is told on standard error."""
    ends_s, told = time.monotonic() + limit_s, ""
    while True:
        try:
            if done():
                return True
        except redis.RedisError as error:
            refuse(f"the live store does not tell: {one_line(error)}; what was asked for goes on by itself")
        if (text := progress()) != told:
            told = text
            print(text, file=sys.stderr, flush=True)
        if time.monotonic() >= ends_s:
            return False
        time.sleep(LOOK_S)
