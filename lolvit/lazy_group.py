"""A click group whose commands are listed as strings and imported when they are called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from lolvit.commands import Section, commands_of
from lolvit.registry import choose


class LazyGroup(click.Group):
    """A group whose commands are listed in sections; showing its help imports none of them.

    `hidden` holds commands that can be called but are not listed.
    """

    def __init__(
        self,
        *arguments: Any,
        sections: dict[str, Section],
        hidden: Section | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._sections, self._hidden = sections, hidden or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the table's order."""
        return list(commands_of(self._sections))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is none of that name."""
        entry = (commands_of(self._sections) | self._hidden).get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command like click, with a suggestion for an unknown name.

        Raises:
            UserError: no command has this name.
        """
        if not args[0].startswith("-") and args[0] not in self._hidden:
            choose("command", args[0], commands_of(self._sections))
        name, command, rest = super().resolve_command(ctx, args)
        return args[0] if args[0] in self._hidden else name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section, with one column for all of their names."""
        width = max(map(len, commands_of(self._sections)))
        for title, section in self._sections.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(width), entry.help_line) for name, entry in section.items()]
                )
