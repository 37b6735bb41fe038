"""Number plates of Vietnam: from lines of text, as an OCR read them, to a plate, or to 'unknown'.

Formats as Circular 24/2023/TT-BCA and its forerunners describe them; `?` stands for a character that nobody could read:
civil: province (two digits), series (a letter; a letter and a digit or two letters on motorcycles and special
vehicles), then four or five digits, on one line (30A-123.45) or two (29-B1 / 123.45); army: two letters, then four or
five digits (TC 12-34); diplomatic: province, country (three digits), NG, QT, NN or CV, two digits (80-123-NG-45).
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

SERIES = frozenset("ABCDEFGHKLMNPRSTUVXYZ")
"""letters of civil series; I, J, O, Q and W are not used"""
PROVINCES = frozenset(range(11, 100)) - {13, 42, 44, 45, 46, 87, 91, 96}
"""codes that were given out when this was written; merged provinces keep theirs"""

TO_DIGIT = {
    "O": "0",
    "D": "0",
    "Q": "0",
    "I": "1",
    "L": "1",
    "J": "1",
    "Z": "2",
    "A": "4",
    "S": "5",
    "G": "6",
    "T": "7",
    "B": "8",
}
TO_LETTER = {"0": "D", "1": "L", "2": "Z", "4": "A", "5": "S", "6": "G", "7": "T", "8": "B"}
SURE = 0.6
"""a character below this is unknown: it is shown as ? and never guessed from its neighbours"""
UNKNOWN = "?"

# d: digit, l: letter of a series, a: any letter, x: letter or digit; anything else stands for itself.
_FORMATS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("civil", "ddlddddd", (3,)),
    ("civil", "ddldddd", (3,)),
    ("civil", "ddlxddddd", (4,)),
    ("civil", "ddlxdddd", (4,)),
    ("diplomatic", "dddddNGdd", (2, 5, 7)),
    ("diplomatic", "dddddQTdd", (2, 5, 7)),
    ("diplomatic", "dddddNNdd", (2, 5, 7)),
    ("diplomatic", "dddddCVdd", (2, 5, 7)),
    ("army", "aadddd", (2,)),
    ("army", "aaddddd", (2,)),
)


@dataclass(frozen=True, slots=True)
class Character:
    """One character as read. confidence: 0..1, as the OCR gives it. read: what the OCR said, where it was corrected."""

    text: str
    confidence: float
    read: str | None = None


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of text and its place: xyxy pixels."""

    box: tuple[float, float, float, float]
    characters: tuple[Character, ...]

    @property
    def text(self) -> str:
        return "".join(character.text for character in self.characters)


@dataclass(frozen=True, slots=True)
class Plate:
    """A plate that fits a format. text: in usual writing, with ? for what is unknown. lines: 1 or 2.

    complete: every character is known. confidence: that of the least sure character.
    """

    text: str
    kind: str
    lines: int
    characters: tuple[Character, ...]
    box: tuple[float, float, float, float]

    @property
    def complete(self) -> bool:
        return all(character.text != UNKNOWN for character in self.characters)

    @property
    def confidence(self) -> float:
        return min(character.confidence for character in self.characters)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "text": self.text,
            "kind": self.kind,
            "lines": self.lines,
            "complete": self.complete,
            "confidence": round(self.confidence, 3),
            "characters": [
                {"text": c.text, "confidence": round(c.confidence, 3)} | ({"read": c.read} if c.read else {})
                for c in self.characters
            ],
        }


def find_plate(lines: Sequence[TextLine]) -> Plate | None:
    """The plate among lines of text, or None when no line, and no two that belong together, fit any format.

    Lines come in any order; those of a two-line plate are found by their places.
    """
    cleaned = [line for line in map(_clean, lines) if line.characters]
    found = [plate for line in cleaned if (plate := _fit([line])) is not None]
    pairs = [pair for pair in permutations(cleaned, 2) if _belong(*pair)]
    found += [plate for pair in pairs if (plate := _fit(pair)) is not None]
    return max(found, key=_merit, default=None)


def combine(readings: Iterable[Plate | None]) -> Plate | None:
    """One plate from those read on several pictures of a vehicle; a character they do not agree on is unknown.

    An OCR can be wrong and very sure of it, seldom twice in the same way. Only readings of the commonest format count.
    """
    plates = [plate for plate in readings if plate is not None]
    if not plates:
        return None
    shapes = Counter((plate.kind, re.sub(r"\w|\?", "x", plate.text)) for plate in plates)
    shape = shapes.most_common(1)[0][0]
    alike = [plate for plate in plates if (plate.kind, re.sub(r"\w|\?", "x", plate.text)) == shape]
    first = max(alike, key=_merit)
    agreed = [_agreed(column) for column in zip(*(plate.characters for plate in alike), strict=True)]
    text = iter(character.text for character in agreed)
    written = "".join(next(text) if sign.isalnum() or sign == UNKNOWN else sign for sign in first.text)
    return replace(first, text=written, characters=tuple(agreed))


def _agreed(characters: Sequence[Character]) -> Character:
    """What more than half of the pictures on which the character was read say."""
    known = [character for character in characters if character.text != UNKNOWN]
    if not known:
        return characters[0]
    text, votes = Counter(character.text for character in known).most_common(1)[0]
    best = max((character for character in known if character.text == text), key=lambda c: c.confidence)
    return best if 2 * votes > len(known) else Character(UNKNOWN, best.confidence)


def _merit(plate: Plate) -> tuple[float, ...]:
    """Fewer corrections and unknown characters before confidence; a longer plate before a part of it."""
    corrected = sum(c.read is not None for c in plate.characters)
    unknown = sum(c.text == UNKNOWN for c in plate.characters)
    return -(corrected + 2 * unknown), len(plate.characters), sum(c.confidence for c in plate.characters)


def parse_plate(text: str) -> Plate | None:
    """The plate that a person wrote, None where it fits no format or would have to be corrected."""
    characters = tuple(Character(sign, 1.0) for sign in normalise(text))
    plate = find_plate([TextLine((0.0, 0.0, 1.0, 1.0), characters)])
    return plate if plate is not None and plate.complete and not any(c.read for c in plate.characters) else None


def unknown_beside(plate: Plate, listed: str, sure: float) -> int | None:
    """How many characters of a plate that was read are unknown, where all known ones are the listed plate's.

    None where one differs, or there are more or fewer of them. listed: capitals and digits alone. A character read with
    less confidence than `sure` is unknown, whatever it was read as: it speaks neither for nor against.
    """
    if len(plate.characters) != len(listed):
        return None
    known = [
        (c.text, wanted)
        for c, wanted in zip(plate.characters, listed, strict=True)
        if c.text != UNKNOWN and c.confidence >= sure
    ]
    return None if any(text != wanted for text, wanted in known) else len(listed) - len(known)


def normalise(text: str) -> str:
    """Capitals and digits alone: what two writings of one plate have in common."""
    return re.sub(r"[^A-Z0-9?]", "", text.upper().replace("Đ", "D"))


def _clean(line: TextLine) -> TextLine:
    kept = []
    for character in line.characters:
        text = normalise(character.text)
        if len(text) == 1:
            unknown = character.confidence < SURE
            kept.append(replace(character, text=UNKNOWN) if unknown else replace(character, text=text))
    return replace(line, characters=tuple(kept))


def _belong(upper: TextLine, lower: TextLine) -> bool:
    """Whether two lines are the two of one plate: one close below the other, about as wide and as high."""
    ux1, uy1, ux2, uy2 = upper.box
    lx1, ly1, lx2, ly2 = lower.box
    height, below = uy2 - uy1, ly2 - ly1
    if min(height, below) <= 0 or max(height, below) > 2.2 * min(height, below):
        return False
    shared = min(ux2, lx2) - max(ux1, lx1)
    drop = (ly1 + ly2 - uy1 - uy2) / 2
    return shared > 0.5 * min(ux2 - ux1, lx2 - lx1) and 0.5 * height < drop < 2.2 * max(height, below)


def _fit(lines: Sequence[TextLine]) -> Plate | None:
    characters = [character for line in lines for character in line.characters]
    split = len(lines[0].characters) if len(lines) == 2 else None
    best: tuple[float, Plate] | None = None
    for kind, pattern, groups in _FORMATS:
        if len(pattern) != len(characters) or not _split_fits(split, kind, groups):
            continue
        fitted = [_place(character, wanted) for character, wanted in zip(characters, pattern, strict=True)]
        placed = [character for character in fitted if character is not None]
        if len(placed) != len(pattern) or not _plausible(kind, placed):
            continue
        boxes = [line.box for line in lines]
        box = (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))
        plate = Plate(_written(placed, groups, kind), kind, len(lines), tuple(placed), box)
        corrections = sum(character.read is not None for character in placed)
        if best is None or corrections < best[0]:
            best = corrections, plate
    return None if best is None else best[1]


def _split_fits(split: int | None, kind: str, groups: tuple[int, ...]) -> bool:
    """Two lines part where the format's groups do: 29-B1 / 123.45."""
    return split is None or split in groups


def _place(character: Character, wanted: str) -> Character | None:
    """A character at a place of a format, corrected where the place allows just one reading; None: it cannot stand."""
    text = character.text
    if text == UNKNOWN:
        return character
    if wanted == "d":
        if text.isdigit():
            return character
        return _corrected(character, TO_DIGIT)
    if wanted in "la":
        allowed = SERIES if wanted == "l" else frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        if text in allowed:
            return character
        return _corrected(character, TO_LETTER) if text.isdigit() else None
    if wanted == "x":
        return character if text.isdigit() or text in SERIES else None
    return character if text == wanted else None


def _corrected(character: Character, table: dict[str, str]) -> Character | None:
    better = table.get(character.text)
    return None if better is None else Character(better, character.confidence, read=character.text)


def _plausible(kind: str, characters: Sequence[Character]) -> bool:
    """Not a text of unknowns, nor of letters taken for digits; and its province exists."""
    unknown = sum(character.text == UNKNOWN for character in characters)
    corrected = sum(character.read is not None for character in characters)
    if unknown > len(characters) // 3 or corrected > 2:
        return False
    code = characters[0].text + characters[1].text
    return kind == "army" or UNKNOWN in code or int(code) in PROVINCES


def _written(characters: Iterable[Character], groups: tuple[int, ...], kind: str) -> str:
    """30A-123.45, 29-B1 123.45, 80-123-NG-45, TC-12-34."""
    text = "".join(character.text for character in characters)
    if kind == "diplomatic":
        return f"{text[:2]}-{text[2:5]}-{text[5:7]}-{text[7:]}"
    head, number = text[: groups[0]], text[groups[0] :]
    if kind == "army":
        return f"{head}-{number[:2]}-{number[2:]}"
    number = f"{number[:3]}.{number[3:]}" if len(number) == 5 else number
    return f"{head}-{number}" if len(head) == 3 else f"{head[:2]}-{head[2:]} {number}"
