"""The `hoaban` command. Exit codes: 0 done; 1 it ran and the answer is no; 2 bad input."""

import typer

from cli import audit, bench, check, diff, faces, models, people, plan, replay, sim, up

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.command()(up.up)
app.command()(check.check)
app.command()(check.schema)
app.command()(replay.replay)
app.command()(diff.diff)
app.command()(bench.bench)
app.command()(plan.plan)
app.add_typer(models.app, name="models")
app.add_typer(sim.app, name="sim")
app.add_typer(faces.app, name="faces")
app.add_typer(audit.app, name="audit")
app.add_typer(people.people, name="people")
app.add_typer(people.tokens, name="tokens")


def main() -> None:
    """Entry point."""
    app()
