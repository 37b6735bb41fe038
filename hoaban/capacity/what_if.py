"""A fleet as it might become: '+20 face_crowd', '-5 shared', 'analysis_fps=10 overview', 'model=NAME'."""

import re

from pydantic import ValidationError

from hoaban.fleet import Camera, Fleet, Role

FIELDS = ("analysis_fps", "guaranteed_fps", "model", "pre_roll_s", "motion_gate", "site")
HOW = f"write '+20 face_crowd', '-5 shared', or FIELD=VALUE [ROLE] with one of {', '.join(FIELDS)}"


class WhatIfError(ValueError):
    """A change that cannot be understood or made."""


def what_if(fleet: Fleet, change: str) -> Fleet:
    """The fleet after a change. An added camera is like the first of its role. Raises WhatIfError."""
    words = change.split()
    if len(words) == 2 and re.fullmatch(r"[+-]\d{1,6}", words[0]):
        return _more(fleet, int(words[0]), _role(words[1]))
    if 1 <= len(words) <= 2 and "=" in words[0]:
        field, _, value = words[0].partition("=")
        return _edited(fleet, field, value, _role(words[1]) if len(words) == 2 else None)
    raise WhatIfError(f"{change!r} is not understood; {HOW}")


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError:
        raise WhatIfError(f"there is no role {name!r}; use one of {', '.join(Role)}") from None


def _more(fleet: Fleet, number: int, role: Role) -> Fleet:
    of_role = [camera for camera in fleet.cameras if camera.role is role]
    if number <= 0:
        if -number > len(of_role):
            raise WhatIfError(f"the fleet has {len(of_role)} cameras of role {role}; {-number} cannot be taken away")
        gone = {camera.id for camera in of_role[len(of_role) + number :]}
        return fleet.model_copy(update={"cameras": tuple(c for c in fleet.cameras if c.id not in gone)})
    if not of_role:
        raise WhatIfError(f"the fleet has no camera of role {role} to take as the pattern; add one to the fleet file")
    taken = {camera.id for camera in fleet.cameras}
    new = [
        name
        for name in (f"new-{role}-{i + 1}".replace("_", "-") for i in range(number + len(taken)))
        if name not in taken
    ]
    added = tuple(of_role[0].model_copy(update={"id": name}) for name in new[:number])
    return fleet.model_copy(update={"cameras": fleet.cameras + added})


def _edited(fleet: Fleet, field: str, value: str, role: Role | None) -> Fleet:
    if field not in FIELDS:
        raise WhatIfError(f"{field!r} cannot be changed here; {HOW}")
    return fleet.model_copy(
        update={"cameras": tuple(_with(c, field, value) if role in (None, c.role) else c for c in fleet.cameras)}
    )


def _with(camera: Camera, field: str, value: str) -> Camera:
    try:
        return Camera.model_validate(camera.model_dump(by_alias=True) | {field: value})
    except ValidationError as invalid:
        problem = next((e for e in invalid.errors() if field in e["loc"]), invalid.errors()[0])
        raise WhatIfError(f"{field}={value} for camera {camera.id}: {problem['msg']}") from None
