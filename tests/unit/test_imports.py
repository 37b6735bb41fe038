"""Imports go one way: hoaban <- actors <- serve; dashboards know the API alone."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
OURS = {"hoaban", "actors", "serve", "dashboards", "cli"}
IO = {
    "ray",
    "redis",
    "sqlalchemy",
    "av",
    "streamlit",
    "fastapi",
    "httpx",
    "socket",
    "time",
    "os",
    "threading",
}
FORBIDDEN = {
    "hoaban": (OURS | IO) - {"hoaban"},
    "actors": {"serve", "dashboards", "cli", "streamlit", "fastapi"},
    "serve": {"dashboards", "cli", "streamlit"},
    "dashboards": {"hoaban", "actors", "serve", "cli", "ray", "redis", "sqlalchemy"},
}


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_layer_imports_nothing_above_it(layer: str) -> None:
    files = list((PROJECT / layer).rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in FORBIDDEN[layer], f"{file.relative_to(PROJECT)}:{node.lineno}: {name}"
