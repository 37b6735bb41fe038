"""Drawings in a page's HTML. Streamlit takes SVG out of that, but not an image that is one."""

from base64 import b64encode
from html import escape


def drawing(shapes: str, width: int, height: int, said: str, style: str) -> str:
    """shapes: SVG elements, in units of width and height; style: their CSS, which knows nothing of the page's; said:
    what a screen reader tells of it."""
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f"<style>{style}</style>{shapes}</svg>"
    )
    source = f"data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()}"
    return f'<img class="hb-sketch" alt="{escape(said)}" src="{source}">'
