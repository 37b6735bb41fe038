"""Who may be given an incident or a work order: people who may handle it where it is, at whatever hour.

People of an identity provider are known with what they may do while they are signed in, and can be chosen then.
"""

from collections.abc import Iterable

from fastapi import HTTPException, Request
from pydantic import BaseModel, Field

from actors.store import PeopleStore
from hoaban.access import GRANTS, Permission, Person, entrusted
from serve.auth import Credentials
from serve.cases import Change
from serve.places import Places


class Assignment(Change):
    assignee: str = Field(min_length=1, max_length=128, description="a person's id or name; see `assignees`")


class AssigneeView(BaseModel):
    name: str
    agency: str | None


def assignees(request: Request, permission: Permission, cameras: Iterable[str]) -> list[Person]:
    """Who may be given what these cameras saw, by name."""
    places: Places = request.app.state.places
    people: PeopleStore = request.app.state.people
    credentials: Credentials = request.app.state.credentials
    known = people.holding([role for role, given in GRANTS.items() if permission in given])
    there = [places.place(camera) for camera in cameras]
    able = {
        person.id: person
        for person in (*known, *credentials.provided())
        if any(entrusted(person, permission, place) for place in there)
    }
    return sorted(able.values(), key=lambda person: person.name)


def views(people: Iterable[Person]) -> list[AssigneeView]:
    return [AssigneeView(name=person.name, agency=person.agency) for person in people]


def chosen(request: Request, permission: Permission, cameras: Iterable[str], who: str) -> Person:
    """The one of `assignees` with this id or name. 422 for anyone else, there or not."""
    able = assignees(request, permission, cameras)
    # An id first: a person could be named like another's id.
    for found in (*(p for p in able if p.id == who), *(p for p in able if p.name == who)):
        return found
    why = f"{who!r} is nobody who may handle it here ({permission}); choose one of GET {_list_of(request)}"
    raise HTTPException(422, f"{why}, or have an admin grant them a role for its cameras")


def _list_of(request: Request) -> str:
    path = request.url.path
    return (path if path.endswith("/handovers") else path.rsplit("/", 1)[0]) + "/assignees"
