"""Pieces of a page's HTML in the styles of style.css. Words are escaped here; what is HTML already says so."""

from collections.abc import Iterable, Sequence
from html import escape


def head(text: str) -> str:
    return f'<h2 class="hb-head">{escape(text)}</h2>'


def nothing(text: str) -> str:
    """What stands where a list is empty."""
    return f'<div class="hb-none">{escape(text)}</div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """(name, value), one below the other."""
    cells = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f'<dl class="hb-facts">{cells or "–"}</dl>'


def boxes(figures: Iterable[tuple[str, str]]) -> str:
    """(name, figure), side by side; for a strip."""
    return "".join(
        f"<div><small>{escape(name)}</small><strong>{escape(value)}</strong></div>" for name, value in figures
    )


def strip(figures: Iterable[tuple[str, str]]) -> str:
    return f'<div class="hb-strip">{boxes(figures)}</div>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The cells of rows are HTML."""
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="hb-counts"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
