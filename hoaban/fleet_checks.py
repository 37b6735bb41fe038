"""What does not fit between the parts of a fleet file.

Works on the plain document, whatever shape it has, so that these errors are reported together with those of single
fields and not only after they are mended.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from hoaban.fleet import Role
from hoaban.fleet_yaml import Path
from hoaban.incidents.settings import FAULTS
from hoaban.models.card import PINNED
from hoaban.rules import RULE_KINDS
from hoaban.rules.base import OBJECT_CLASSES, default_name
from hoaban.terms import ALWAYS_ALLOWED, MODEL_TRIALS, TOKEN_ROLES

Misfit = tuple[Path, str]
Labels = Mapping[str, tuple[str, ...]]
KNOWN_LABELS: Labels = {name: card.labels for name, card in PINNED.items()}
"""what each pinned model finds, by its name"""


def misfits(document: Any, labels: Labels = KNOWN_LABELS) -> Iterator[Misfit]:
    """(path, message) of each misfit: names given twice, names that nothing bears, rates that exceed each other."""
    for key in ("districts", "agencies", "cameras"):
        yield from _doubles(document, (key,))
    yield from _retention_misfits(_get(document, "retention"))
    districts, agencies = _ids(_get(document, "districts")), _ids(_get(document, "agencies"))
    sites = _items(_get(document, "sites"))
    yield from _incident_misfits(_get(document, "incidents"), districts)
    for index, camera in enumerate(_items(_get(document, "cameras"))):
        path: Path = ("cameras", index)
        for key, known, place in (("district", districts, "districts"), ("owner", agencies, "agencies")):
            name = _get(camera, key)
            if isinstance(name, str) and name not in known:
                yield (*path, key), f"{name!r} is not among {place}; add it there or correct it"
        if sites and isinstance(site := _get(camera, "site"), str) and site not in sites:
            yield (*path, "site"), f"{site!r} is not among sites; add it there or correct it"
        yield from _doubles(camera, ("zones",), path)
        yield from _doubles(camera, ("privacy_zones",), path)
        yield from _doubles(camera, ("lines",), path)
        yield from _doubles(camera, ("signals",), path)
        yield from _rule_misfits(camera, path)
        yield from _label_misfits(camera, path, _get(_get(document, "models"), "detect"), labels)
        yield from _terms_misfits(camera, path, agencies)
        wanted, guaranteed = _get(camera, "analysis_fps", 5.0), _get(camera, "guaranteed_fps", 0.0)
        if isinstance(wanted, int | float) and isinstance(guaranteed, int | float) and guaranteed > wanted:
            yield (*path, "guaranteed_fps"), f"{guaranteed} is above analysis_fps ({wanted}); lower it"


def _retention_misfits(retention: Any) -> Iterator[Misfit]:
    """A misspelt name would keep what should go."""
    for key, known in (("events_by_type", RULE_KINDS), ("events_by_role", [role.value for role in Role])):
        named = _get(retention, key)
        for name in named if isinstance(named, dict) else ():
            if name not in known:
                yield ("retention", key, name), f"{name!r} is none of {', '.join(sorted(known))}; correct it"


def _incident_misfits(settings: Any, districts: set[str]) -> Iterator[Misfit]:
    orders = _get(settings, "work_orders")
    for part, key, path, known, what in (
        (settings, "kinds", (), set(RULE_KINDS), "rule type"),
        (orders, "faults", ("work_orders",), set(FAULTS), "fault of a camera"),
        (orders, "maintainers", ("work_orders",), districts, "district of this fleet"),
    ):
        named = _get(part, key)
        for name in named if isinstance(named, dict) else ():
            if name not in known:
                listed = ", ".join(sorted(known)) or "none"
                yield ("incidents", *path, key, name), f"{name!r} is no {what}; use some of {listed}"


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


def _label_misfits(camera: Any, path: Path, default: Any, labels: Labels) -> Iterator[Misfit]:
    """Classes that no known model finds: a rule that waits for them would be silent for ever.

    A class of another model is let through, since the model of a camera may change; so is any for a model whose
    labels are not known here.
    """
    model = _get(camera, "model") or default
    if isinstance(model, str) and model.partition("@")[0] not in labels:
        return
    known = sorted({label for found in labels.values() for label in found})
    for index, rule in enumerate(_items(_get(camera, "rules"))):
        for place, name in enumerate(_items(_get(rule, "classes"))):
            if isinstance(name, str) and name not in known:
                near = get_close_matches(name, OBJECT_CLASSES, 1) or get_close_matches(name, known, 1)
                cure = (
                    f"did you mean {near[0]!r}?" if near else "use one of those that `hoaban models list --json` shows"
                )
                yield (*path, "rules", index, "classes", place), f"{name!r} is no class that a model finds; {cure}"


def _terms_misfits(camera: Any, path: Path, agencies: set[str]) -> Iterator[Misfit]:
    terms = _get(camera, "terms")
    allowed = _get(terms, "analytics")
    for index, kind in enumerate(_items(allowed)):
        if isinstance(kind, str) and kind not in (*RULE_KINDS, MODEL_TRIALS):
            known = ", ".join([*RULE_KINDS, MODEL_TRIALS])
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
