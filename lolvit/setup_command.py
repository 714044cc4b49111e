"""`lolvit setup`: installs what pip cannot."""

from __future__ import annotations

import click

from lolvit.commands import SETUP_SECTIONS, commands_of
from lolvit.lazy_group import LazyGroup
from lolvit.output import print_json


@click.group(
    cls=LazyGroup,
    sections=SETUP_SECTIONS,
    invoke_without_command=True,
    no_args_is_help=False,
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.pass_context
def setup(ctx: click.Context, as_json: bool) -> None:
    """Install what pip cannot.

    Each command installs once; running it again checks what is there.
    """
    if ctx.invoked_subcommand is not None:
        return
    if as_json:
        commands = commands_of(SETUP_SECTIONS)
        print_json({name: entry.help_line for name, entry in commands.items()})
    else:
        click.echo(ctx.get_help())
