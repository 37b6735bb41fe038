"""Who acts, and in which part of the province each of their roles counts."""

from dataclasses import dataclass

from hoaban.access.roles import Role
from hoaban.schedule import Hours


@dataclass(frozen=True, slots=True)
class Scope:
    """Where and when a role counts. None: everywhere. What is given must all fit. hours: of the week; none: always."""

    districts: frozenset[str] | None = None
    agencies: frozenset[str] | None = None
    """owners of the cameras"""
    cameras: frozenset[str] | None = None
    hours: tuple[Hours, ...] = ()

    @property
    def everywhere(self) -> bool:
        return self.districts is None and self.agencies is None and self.cameras is None


@dataclass(frozen=True, slots=True)
class Grant:
    role: Role
    scope: Scope = Scope()


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts: a person, or a machine with a token of its own.

    neighbourhood: the district they live in, where looks are watched more closely (hoaban/access/misuse.py).
    """

    id: str
    name: str
    agency: str | None = None
    grants: tuple[Grant, ...] = ()
    neighbourhood: str | None = None

    @property
    def roles(self) -> frozenset[Role]:
        return frozenset(grant.role for grant in self.grants)
