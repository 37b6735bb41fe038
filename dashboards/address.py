"""Filters that the page's address holds, so that a reload, a bookmark or a colleague sees the same."""

from collections.abc import Sequence
from typing import TypeVar

import streamlit as st

T = TypeVar("T")


def chosen(name: str, options: Sequence[T], default: T) -> T:
    """The option that the address names; the default where it names none of them."""
    wanted = st.query_params.get(name)
    return next((option for option in options if option is not None and str(option) == wanted), default)


def keep(name: str, value: object) -> None:
    """Write a choice into the address; None takes it out."""
    if value is None:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != str(value):
        st.query_params[name] = str(value)
