"""The assignment problem: pairs of rows and columns that cost least together."""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


def cheapest_pairs(cost: NDArray[np.floating]) -> tuple[Indices, Indices]:
    """The rows, in order, and the columns that they get. cost: (rows, columns), finite; as many pairs as fit."""
    # Imported here: it takes a third of a second, which commands and actors that pair nothing need not wait.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost)
    return rows, columns
