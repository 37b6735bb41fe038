"""Whose evidence is: kept in its row, for the camera may leave the fleet and its owner's terms hold on."""

from actors.board import Board
from actors.store import EvidenceRecords


def keep_owners(board: Board, records: EvidenceRecords) -> None:
    """Write whose it is, and where from, into what was sealed since the last call.

    Raises RedisError, SQLAlchemyError.
    """
    if not (cameras := records.without_owner()):
        return
    for camera in (board.get_json("fleet") or {}).get("cameras", []):
        if camera["id"] in cameras:
            viewers = (camera.get("terms") or {}).get("viewers")
            records.keep_owner(camera["id"], camera["owner"], viewers, camera["district"])
