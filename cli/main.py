"""The `hoaban` command. Exit codes: 0 done; 1 it ran and the answer is no; 2 bad input."""

import importlib
import os
import sys
from typing import NoReturn

import click
import typer
from typer.core import TyperGroup

from cli.common import one_line

COMMANDS = {
    "up": "cli.up:up",
    "check": "cli.check:check",
    "schema": "cli.check:schema",
    "replay": "cli.replay:replay",
    "diff": "cli.diff:diff",
    "doctor": "cli.doctor:doctor",
    "bench": "cli.bench:bench",
    "plan": "cli.plan:plan",
    "discover": "cli.discover:discover",
    "nodes": "cli.nodes:nodes",
    "drain": "cli.nodes:drain",
    "undrain": "cli.nodes:undrain",
    "upgrade": "cli.nodes:upgrade",
    "backup": "cli.backup:backup",
    "restore": "cli.backup:restore",
    "deliveries": "cli.deliveries:deliveries",
    "models": "cli.models:app",
    "events": "cli.events:app",
    "sim": "cli.sim:app",
    "faces": "cli.faces:app",
    "evidence": "cli.evidence:app",
    "audit": "cli.audit:app",
    "people": "cli.people:people",
    "tokens": "cli.people:tokens",
}
"""name -> where its function, or its group, is"""


class Commands(TyperGroup):
    """Imports the command that is called, and no other: each start would wait for what all of them need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found, alone = getattr(importlib.import_module(module), name), typer.Typer()
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=cmd_name)
        else:
            alone.command(cmd_name)(found)
        return typer.main.get_group(alone).commands[cmd_name]


app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)


@app.callback(help=__doc__)
def _every_command() -> None: ...


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point. What is wrong with the arguments is told in one line, as any bad input is."""
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="hoaban", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as helped:
        print(helped.format_message(), file=sys.stderr)
        code = 2
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "hoaban"
        message = one_line(error.format_message()).rstrip(".")
        print(f"{path}: {message}; `{path} --help` tells what it takes", file=sys.stderr)
        code = 2
    except click.Abort:
        code = 130
    except BrokenPipeError:  # whoever read the answer has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
