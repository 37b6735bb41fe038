"""What does not fit between the parts of a fleet file.

Works on the plain document, whatever shape it has, so that these errors are reported together with those of single
fields and not only after they are mended.
"""

from collections.abc import Iterator
from typing import Any

from hoaban.rules import RULE_KINDS
from hoaban.rules.base import default_name
from hoaban.terms import ALWAYS_ALLOWED, TOKEN_ROLES

Path = tuple[str | int, ...]
Misfit = tuple[Path, str]


def misfits(document: Any) -> Iterator[Misfit]:
    """(path, message) of each misfit: names given twice, names that nothing bears, rates that exceed each other."""
    for key in ("districts", "agencies", "cameras"):
        yield from _doubles(document, (key,))
    districts, agencies = _ids(_get(document, "districts")), _ids(_get(document, "agencies"))
    for index, camera in enumerate(_items(_get(document, "cameras"))):
        path: Path = ("cameras", index)
        for key, known, place in (("district", districts, "districts"), ("owner", agencies, "agencies")):
            name = _get(camera, key)
            if isinstance(name, str) and name not in known:
                yield (*path, key), f"{name!r} is not among {place}; add it there or correct it"
        yield from _doubles(camera, ("zones",), path)
        yield from _doubles(camera, ("lines",), path)
        yield from _doubles(camera, ("signals",), path)
        yield from _rule_misfits(camera, path)
        yield from _terms_misfits(camera, path, agencies)
        wanted, guaranteed = _get(camera, "analysis_fps", 5.0), _get(camera, "guaranteed_fps", 0.0)
        if isinstance(wanted, int | float) and isinstance(guaranteed, int | float) and guaranteed > wanted:
            yield (*path, "guaranteed_fps"), f"{guaranteed} is above analysis_fps ({wanted}); lower it"


def _rule_misfits(camera: Any, path: Path) -> Iterator[Misfit]:
    names: set[str] = set()
    for index, rule in enumerate(_items(_get(camera, "rules"))):
        kind = RULE_KINDS.get(_get(rule, "type")) if isinstance(_get(rule, "type"), str) else None
        if kind is None:
            continue
        role = _get(camera, "role")
        if kind.roles and isinstance(role, str) and role not in kind.roles:
            allowed = ", ".join(kind.roles)
            yield (
                (*path, "rules", index, "type"),
                f"{_get(rule, 'type')} may stand on cameras of the role {allowed} only, this one is {role!r}; "
                "remove the rule",
            )
        for key, place in kind.references().items():
            value = _get(rule, key)
            known = _ids(_get(camera, place))
            for name in value if isinstance(value, list) else [value]:
                if isinstance(name, str) and name not in known:
                    listed = ", ".join(sorted(known)) or "none"
                    yield (
                        (*path, "rules", index, key),
                        f"the camera has no {place.removesuffix('s')} {name!r}; it has: {listed}",
                    )
        if _get(rule, "point") == "front" and _get(camera, "calibration") is None:
            yield (*path, "rules", index, "point"), "front needs the camera's calibration; add it or use foot"
        name = default_name(rule)
        if name in names:
            yield (*path, "rules", index), f"a second rule {name!r}; give it an id of its own"
        names.add(name)


def _terms_misfits(camera: Any, path: Path, agencies: set[str]) -> Iterator[Misfit]:
    terms = _get(camera, "terms")
    allowed = _get(terms, "analytics")
    for index, kind in enumerate(_items(allowed)):
        if isinstance(kind, str) and kind not in RULE_KINDS:
            known = ", ".join(RULE_KINDS)
            yield (*path, "terms", "analytics", index), f"{kind!r} is no rule type; use some of {known}"
    if isinstance(allowed, list):
        for index, rule in enumerate(_items(_get(camera, "rules"))):
            kind = _get(rule, "type")
            if isinstance(kind, str) and kind not in (*allowed, *ALWAYS_ALLOWED):
                message = (
                    f"{kind!r} is not among terms.analytics, which the owner allows; remove the rule or ask the owner"
                )
                yield (*path, "rules", index, "type"), message
    for index, name in enumerate(_items(_get(terms, "viewers"))):
        if isinstance(name, str) and name not in agencies and name not in TOKEN_ROLES:
            known = ", ".join([*TOKEN_ROLES, *sorted(agencies)])
            yield (*path, "terms", "viewers", index), f"{name!r} is neither a role nor an agency; use some of {known}"


def _doubles(parent: Any, key: tuple[str], path: Path = ()) -> Iterator[Misfit]:
    seen: set[str] = set()
    for index, item in enumerate(_items(_get(parent, key[0]))):
        name = _get(item, "id")
        if isinstance(name, str):
            if name in seen:
                yield (*path, *key, index, "id"), f"{name!r} is given twice; give each its own id"
            seen.add(name)


def _get(value: Any, key: str, default: Any = None) -> Any:
    return value.get(key, default) if isinstance(value, dict) else None


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _ids(value: Any) -> set[str]:
    return {name for item in _items(value) if isinstance(name := _get(item, "id"), str)}
