"""What a run of the tests found, as lines."""

from __future__ import annotations

import click

from android_build.testing import Outcome


def print_outcome(outcome: Outcome) -> None:
    """Print the parity figures and the number of tests."""
    for figure in outcome.figures:
        click.echo("parity: " + ", ".join(f"{key} {value}" for key, value in figure.items()))
    passed = outcome.tests - outcome.skipped
    click.echo(f"android: {passed} passed, {outcome.skipped} skipped in {outcome.seconds:.0f} s")
