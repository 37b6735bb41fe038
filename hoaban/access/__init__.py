"""Who may do what, and where: decided from values alone."""

from hoaban.access.decide import Decision, Place, covers, decide, entrusted, reaches
from hoaban.access.person import Grant, Person, Scope
from hoaban.access.roles import GRANTS, PROVINCE_WIDE, TWO_PEOPLE, Permission, Role

__all__ = [
    "GRANTS",
    "PROVINCE_WIDE",
    "TWO_PEOPLE",
    "Decision",
    "Grant",
    "Permission",
    "Person",
    "Place",
    "Role",
    "Scope",
    "covers",
    "decide",
    "entrusted",
    "reaches",
]
