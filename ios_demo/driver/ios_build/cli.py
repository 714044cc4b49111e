"""The driver's command line: `test`."""

from __future__ import annotations

from pathlib import Path

import click

from ios_build.testing import Build, print_outcome, run_tests
from lolvit.errors import EXIT_DONE, LolvitError

IOS = Path(__file__).resolve().parents[2]


@click.group()
def cli() -> None:
    """Test the Swift library on Linux, without Apple's SDK."""


@cli.command()
@click.option(
    "--build-dir",
    type=click.Path(path_type=Path),
    default=IOS / "build",
    show_default="ios_demo/build",
    help="Where fixtures, and what Swift compiles, go.",
)
@click.option("--filter", "only", help="Run only the tests whose name matches this expression.")
@click.option("--keep-fixtures", is_flag=True, help="Use the fixtures that are there, if any.")
def test(build_dir: Path, only: str | None, keep_fixtures: bool) -> None:
    """Compile the library and run its tests; needs `lolvit setup swift`."""
    print_outcome(run_tests(Build(IOS / "LOLViT", build_dir.resolve()), only, keep=keep_fixtures))


def main() -> int:
    """Run the command line; return its exit code."""
    try:
        cli.main(standalone_mode=False)
    except LolvitError as error:
        click.echo(f"ios: {error.line()}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    return EXIT_DONE
