"""Citizens' reports: which cameras are near, and the two words by which a citizen finds theirs again."""

import re
from collections.abc import Mapping

from hoaban.incidents.joining import Place, distance_m

LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 signs, five bits each, none of which is taken for another in handwriting or over the telephone"""
TRACKING_LETTERS, CODE_LETTERS = 8, 12


def grouped(letters: str) -> str:
    """As people read it: ABCD-EFGH."""
    return "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))


def bare(typed: str) -> str:
    """What was meant by what a person typed: without signs between the letters, in capitals."""
    return "".join(sign for sign in typed.upper() if sign in LETTERS)


def nearest(place: Place, cameras: Mapping[str, Place]) -> list[tuple[str, float]]:
    """(camera, metres) of all cameras that have a place, the nearest first."""
    away = ((camera, distance_m(place, there)) for camera, there in cameras.items())
    return sorted(away, key=lambda found: (found[1], found[0]))


_CONTACT = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+|\+?\d(?:[\s.-]?\d){7,}")


def masked(text: str) -> str:
    """A citizen's words without what looks like a telephone number, an identity number or an e-mail address."""
    return _CONTACT.sub("…", text)
