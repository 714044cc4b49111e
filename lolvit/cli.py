"""The command line: every run ends with an exit code and at most one line of error.

Commands are imported on use (`lolvit.commands` lists them as strings), so `lolvit --help` loads no
torch. Commands only raise; the error line and the exit code are determined here.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext

import click

from lolvit.cache import cache_folder
from lolvit.commands import HIDDEN, SECTIONS
from lolvit.error_handling import EXIT_BROKEN_PIPE, stop_on_signals, to_lolvit_error
from lolvit.errors import EXIT_BUG, EXIT_DONE, LolvitError
from lolvit.lazy_group import LazyGroup
from lolvit.output import (
    document_only_stdout,
    document_printed,
    escape_unencodable,
    print_json,
)
from lolvit.version import __version__


@click.group(
    cls=LazyGroup,
    sections=SECTIONS,
    hidden=HIDDEN,
    invoke_without_command=True,
    no_args_is_help=False,
)
@click.version_option(__version__, message="lolvit %(version)s")
@click.pass_context
def lolvit(ctx: click.Context) -> None:
    """Export PyTorch vision models to verified ONNX, TFLite and Core ML files, and measure them.

    Every command takes --json (one JSON document on standard output) and --help.

    Exit codes: 0 done; 1 a gate failed; 2 wrong input or a missing extra; 3 a device or runtime
    failed; 70 internal error; 128 + N stopped by signal N (130 is Ctrl-C).
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line (default: the process's arguments) and return its exit code."""
    arguments = list(sys.argv[1:] if args is None else args)
    as_json = _wants_json(arguments)
    escape_unencodable()
    if "--help" not in arguments:
        _keep_caches_together()
    try:
        with stop_on_signals(), document_only_stdout() if as_json else nullcontext():
            code = _run(arguments, as_json)
        sys.stdout.flush()
        if args is None and code not in (EXIT_DONE, EXIT_BUG):
            _silence_finalizers()
        return code
    except BrokenPipeError:
        # A reader has closed its pipe. Python flushes both streams again at exit: redirect them.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        return EXIT_BROKEN_PIPE


def _keep_caches_together() -> None:
    """Have libraries keep in our cache what they would write elsewhere below HOME and /tmp; where
    it can't be written, they choose themselves. Plots follow no user's settings of matplotlib."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    for name, library in (("MPLCONFIGDIR", "matplotlib"), ("TORCHINDUCTOR_CACHE_DIR", "torch")):
        os.environ.setdefault(name, str(folder / library))


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether `--json` was given; checked before parsing, which may fail."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _run(arguments: list[str], as_json: bool) -> int:
    try:
        return _invoke(arguments)
    except (SystemExit, BrokenPipeError):
        raise
    except BaseException as error:  # noqa: BLE001 - the outermost handler
        failure = to_lolvit_error(error)
        if failure is None:
            traceback.print_exc()
            failure = _bug(error)
        if as_json and not document_printed() and _prints_error_document(error):
            print_json({"error": _as_dict(failure)})
        print(f"lolvit: {failure.line()}", file=sys.stderr)
        if failure.exit_code != EXIT_BUG:
            _silence_finalizers()  # until `stop_on_signals` ends; the error's frames are freed now
        return failure.exit_code


def _silence_finalizers() -> None:
    """Drop messages of half-built objects: the failure is reported, they are no help."""
    sys.unraisablehook = lambda unraisable: None


def _prints_error_document(error: BaseException) -> bool:
    """Whether this process prints the run's error document. torchrun's workers share one standard
    output: rank 0 prints it, unless it was stopped or the workers will be restarted."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return True
    starts_left = (
        os.environ["TORCHELASTIC_RESTART_COUNT"] != os.environ["TORCHELASTIC_MAX_RESTARTS"]
    )
    stopped = isinstance(error, KeyboardInterrupt)
    return os.environ["RANK"] == "0" and not starts_left and not stopped


def _invoke(arguments: list[str]) -> int:
    """Run click without its own error printing, which takes several lines and other exit codes."""
    try:
        with lolvit.make_context("lolvit", arguments) as ctx:
            lolvit.invoke(ctx)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    return EXIT_DONE


def _bug(error: BaseException) -> LolvitError:
    failure = LolvitError(
        f"internal error, {type(error).__name__}: {error}",
        remedy="this is a bug in lolvit: please report it with the traceback",
    )
    failure.exit_code = EXIT_BUG
    return failure


def _as_dict(failure: LolvitError) -> dict[str, str | int]:
    return {
        "what": failure.what,
        "where": failure.where,
        "remedy": failure.remedy,
        "exit_code": failure.exit_code,
    }
