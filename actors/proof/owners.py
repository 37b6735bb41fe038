"""Whose evidence is: kept in its row, for the camera may leave the fleet and its owner's terms hold on."""

from actors.board import Board
from actors.store import EvidenceRecords


class Owners:
    """Writes owner and viewers into what was sealed. All rows are looked at once, then those that were added."""

    def __init__(self, board: Board, records: EvidenceRecords) -> None:
        self._board, self._records = board, records
        self._looked = 0
        self._unknown: set[str] = set()
        """cameras with cases of no known owner: of one that left the fleet it may come back, or be named by an admin"""

    def keep(self) -> None:
        """Raises RedisError, SQLAlchemyError."""
        added, self._looked = self._records.without_owner(self._looked)
        self._unknown |= added
        if not self._unknown:
            return
        for camera in (self._board.get_json("fleet") or {}).get("cameras", []):
            if camera["id"] in self._unknown:
                viewers = (camera.get("terms") or {}).get("viewers")
                self._records.keep_owner(camera["id"], camera["owner"], viewers, camera["district"])
                self._unknown.discard(camera["id"])
