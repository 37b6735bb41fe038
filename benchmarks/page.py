"""docs/benchmarks.md from benchmarks/results.json."""

from pathlib import Path
from typing import Any

from benchmarks import (
    capacity,
    counting,
    crowd,
    footprint,
    happenings,
    latency,
    linear,
    mosaic,
    rivals,
    rules,
    throughput,
    transport,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
PARTS = {
    "throughput": ("Frames a second against a bare loop", throughput),
    "rivals": ("Frames a second against other libraries", rivals),
    "latency": ("From frame to event", latency),
    "footprint": ("What a camera costs", footprint),
    "transport": ("Ways to a model", transport),
    "counting": ("Crossings counted", counting),
    "crowd": ("People counted", crowd),
    "tiles": ("Small people in a large picture", mosaic),
    "rules": ("What the rules cost", rules),
    "happenings": ("Happenings told, against simulated truth", happenings),
    "capacity": ("What a camera asks of a node", capacity),
    "linear": ("What each further camera costs", linear),
}
LEFT_OUT = ("date", "machine")


def write(results: dict[str, Any]) -> None:
    """Write the page. The text of each part is the docstring of the module that measured it."""
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench` (`python -m benchmarks PART` for one part). Ratios hold within a run;",
    ]
    lines += ["these machines are shared and noisy, so absolute times do not compare between runs.", ""]
    for name, (title, module) in PARTS.items():
        if "machine" not in results.get(name, {}):  # not measured, or by a version that did not say where
            continue
        found = results[name]
        machine = found["machine"]
        when = f"{found['date']}, {machine['processors']} processors, {machine['machine']}, Python {machine['python']}"
        text = (module.__doc__ or "").strip().split("\n\n", 1)
        lines += [f"## {title}", "", *text[-1].splitlines(), "", f"*{when}*", ""]
        lines += [*_table({key: value for key, value in found.items() if key not in LEFT_OUT}), ""]
    PAGE.write_text("\n".join(lines).rstrip() + "\n")


def _table(found: dict[str, Any]) -> list[str]:
    nested = {key: value for key, value in found.items() if isinstance(value, dict)}
    columns = list(dict.fromkeys(column for row in nested.values() for column in row))
    if nested and len(nested) == len(found) and len(columns) <= 4:
        head = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
        return head + [
            f"| {key} | {' | '.join(str(row.get(column, '')) for column in columns)} |" for key, row in nested.items()
        ]
    flat = {
        f"{key}: {inner}" if inner else key: shown
        for key, value in found.items()
        for inner, shown in (value.items() if isinstance(value, dict) else (("", value),))
    }
    return ["| figure | value |", "|---|---|"] + [
        f"| {key.replace('_', ' ')} | {_text(v)} |" for key, v in flat.items()
    ]


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
