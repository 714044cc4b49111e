"""The driver's command line: `test`."""

from __future__ import annotations

from pathlib import Path

import click

from ios_build.testing import Build, print_outcome, run_app_tests, run_tests
from lolvit.errors import EXIT_DONE, LolvitError
from lolvit.system.swift import require_machine

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
@click.option(
    "--mutate", is_flag=True, help="Then change one constant at a time: tests have to fail."
)
def test(build_dir: Path, only: str | None, keep_fixtures: bool, mutate: bool) -> None:
    """Compile the library and the demo app's state, run their tests; needs `lolvit setup swift`."""
    build = Build(IOS / "LOLViT", build_dir.resolve())
    app = Build(IOS / "App" / "DemoState", build.directory, library=build.package)
    also = (app,) if only is None else ()
    print_outcome(run_tests(build, only, keep=keep_fixtures, mutate=mutate, also=also))
    if only is None:
        click.echo(f"ios: {run_app_tests(app)} passed, 0 failed, of the demo app's state")


@cli.command()
def available() -> None:
    """Check that this machine can run the tests; where it can't, exit code 2 and a line why."""
    require_machine()


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
