"""The driver's command line: `fetch`, `test`, `screens` and `apk`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from android_build.project import ANDROID, Build
from lolvit.errors import EXIT_DONE, LolvitError

_build_dir = click.option(
    "--build-dir",
    type=click.Path(path_type=Path),
    default=ANDROID / "target",
    show_default="android_demo/target",
    help="The build's directory; concurrent builds each need their own.",
)
_repository = click.option(
    "--repository",
    type=click.Path(path_type=Path),
    default=Path.home() / ".m2" / "repository",
    show_default="~/.m2/repository",
    help="Maven's local repository.",
)


@click.group()
def cli() -> None:
    """Build and test the Android app with Java 17 and Maven, without Google's SDK."""


@cli.command()
@_build_dir
@_repository
@click.option(
    "--apk", "for_apk", is_flag=True, help="Also what making an APK needs: R8 and others."
)
def fetch(build_dir: Path, repository: Path, for_apk: bool) -> None:
    """Download the libraries and tools of the build (about 480 MB the first time)."""
    from android_build.fetch import fetch as fetch_parts
    from android_build.fetch import fetch_apk_parts

    build = Build(build_dir.resolve(), repository.resolve())
    fetch_parts(build)
    if for_apk:
        fetch_apk_parts(build)
    click.echo(f"the parts are in {build.directory}")


@cli.command()
@_build_dir
@_repository
@click.option(
    "--models",
    type=click.Path(path_type=Path),
    default=None,
    show_default="BUILD_DIR/models",
    help="Where exported models are, or are to be written.",
)
@click.option("--only", metavar="CLASS", help="Run only the test classes of this name (* matches).")
def test(build_dir: Path, repository: Path, models: Path | None, only: str | None) -> None:
    """Compile the library and the app, and run their tests on real artifacts."""
    from android_build.testing import prepare, print_outcome, run_tests

    build = Build(build_dir.resolve(), repository.resolve())
    prepare(build, (models or build.directory / "models").resolve())
    print_outcome(run_tests(build, only))


@cli.command()
@_build_dir
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    default=ANDROID.parent / "docs" / "images",
    show_default="docs/images",
    help="Where the pictures go.",
)
def screens(build_dir: Path, to: Path) -> None:
    """Make the docs' pictures from the screens that the last tests rendered."""
    from android_build.screens import write_pictures

    for name, size in write_pictures(build_dir.resolve() / "screens", to).items():
        click.echo(f"{name}.png: {size / 1000:.0f} kB")


@cli.command()
@_build_dir
@_repository
@click.option(
    "--model",
    "models",
    multiple=True,
    default=["lolvit_x"],
    show_default=True,
    help="A name, which is exported to TFLite, or the folder of an export. May be given again.",
)
@click.option(
    "--abi",
    "abis",
    multiple=True,
    type=click.Choice(["arm64-v8a", "x86_64"]),
    help="Only native libraries of this ABI. By default both.",
)
@click.option("--budget", metavar="MB", default=15.0, show_default=True, help="Largest size.")
def apk(
    build_dir: Path, repository: Path, models: tuple[str, ...], abis: tuple[str, ...], budget: float
) -> None:
    """Make the signed APK with models in it, verify it, and print its size by part.

    Besides Java and Maven it needs zipalign and apksigner.
    """
    from android_build.apk import lines_of, make_apk, require_valid
    from android_build.apk_build import ABIS

    build = Build(build_dir.resolve(), repository.resolve())
    made = make_apk(build, models, abis or ABIS, lambda step: click.echo(f"{step} ...", err=True))
    click.echo("\n".join(lines_of(made, budget)))
    require_valid(made, budget)


def main() -> int:
    """Run the command line and return its exit code; a failure is printed as one line."""
    try:
        cli.main(standalone_mode=False)
    except LolvitError as failure:
        print(f"android: {failure.line()}", file=sys.stderr)
        return failure.exit_code
    except click.ClickException as failure:
        print(f"android: {failure.format_message()}", file=sys.stderr)
        return failure.exit_code
    except click.Abort:
        return 130
    return EXIT_DONE
