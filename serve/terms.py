"""Whose eyes a shared camera's pictures are for: the owners' terms, as the fleet that runs has them."""

import time

from actors.board import Board
from actors.store import TokenInfo
from hoaban.terms import Terms

KEEP_S = 2.0
"""a wall of pictures asks some hundred times a second; an edit counts this much later"""


class SharedTerms:
    """The terms of the shared cameras, read from the board now and then."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._read_s = float("-inf")
        self._terms: dict[str, tuple[Terms, str]] = {}

    def may_see(self, camera: str, holder: TokenInfo) -> bool:
        """Whether this holder may see the camera's pictures."""
        found = self._now().get(camera)
        return found is None or found[0].shows_to(holder.role, holder.agency, found[1])

    def _now(self) -> dict[str, tuple[Terms, str]]:
        if time.monotonic() - self._read_s >= KEEP_S:
            cameras = (self._board.get_json("fleet") or {}).get("cameras", [])
            self._terms = {
                camera["id"]: (Terms.model_validate(camera["terms"]), camera["owner"])
                for camera in cameras
                if camera.get("terms")
            }
            self._read_s = time.monotonic()
        return self._terms
