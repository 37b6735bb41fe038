"""The `hoaban` command. Exit codes: 0 done; 1 it ran and the answer is no; 2 bad input."""

import os
import sys
from typing import NoReturn

import click
import typer

from cli import (
    audit,
    backup,
    bench,
    check,
    dead_letters,
    deliveries,
    diff,
    doctor,
    events,
    evidence,
    faces,
    models,
    people,
    plan,
    replay,
    sim,
    up,
)
from cli.common import one_line

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.command()(up.up)
app.command()(check.check)
app.command()(check.schema)
app.command()(replay.replay)
app.command()(diff.diff)
app.command()(doctor.doctor)
app.command()(bench.bench)
app.command()(plan.plan)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(deliveries.deliveries)
app.add_typer(models.app, name="models")
events.app.add_typer(dead_letters.app, name="dead")
app.add_typer(events.app, name="events")
app.add_typer(sim.app, name="sim")
app.add_typer(faces.app, name="faces")
app.add_typer(evidence.app, name="evidence")
app.add_typer(audit.app, name="audit")
app.add_typer(people.people, name="people")
app.add_typer(people.tokens, name="tokens")


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
