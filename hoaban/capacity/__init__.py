"""How many machines a fleet needs, from what this software was measured to cost (pure; `hoaban plan` is its door)."""

from hoaban.capacity.costs import Assumed, Costs, DecodeCost, ModelCost, StreamGuess
from hoaban.capacity.demand import Demand, UnknownCostError, demand
from hoaban.capacity.placing import Limits, NodeKind, NoRoomError, Placed, place
from hoaban.capacity.planning import Plan, SitePlan, plan
from hoaban.capacity.what_if import WhatIfError, what_if

__all__ = [
    "Assumed",
    "Costs",
    "DecodeCost",
    "Demand",
    "Limits",
    "ModelCost",
    "NoRoomError",
    "NodeKind",
    "Placed",
    "Plan",
    "SitePlan",
    "StreamGuess",
    "UnknownCostError",
    "WhatIfError",
    "demand",
    "place",
    "plan",
    "what_if",
]
