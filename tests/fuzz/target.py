"""A fuzzing target, and the property that holds for each: any input is either parsed or refused by
an error with one short line; nothing else happens."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from lolvit.errors import LONGEST_PART, LolvitError
from tests.fuzz.guard import ForbiddenError, guarded
from tests.runtimes.mutations import damaged

LONGEST_LINE = 3 * LONGEST_PART + 10  # characters of an error
Parse = Callable[[bytes], None]
Mutate = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Target:
    """One parser. `opened` imports what it needs and returns the function that parses an input,
    whose files are in the given folder; `seeds` are valid inputs.

    `refusals` are the parser's own exceptions where it is not yet at the surface; `mutate` knows
    the inputs' structure; `instrumented` are small top-level packages whose coverage guides
    the fuzzer beside lolvit's. `compiles`: torch compiles the text that it generates for a graph.
    """

    name: str
    opened: Callable[[Path], Parse]
    seeds: Callable[[], list[bytes]]
    mutate: Mutate = damaged
    refusals: tuple[type[Exception], ...] = ()
    instrumented: tuple[str, ...] = ()
    compiles: bool = False
    largest: int = 1 << 16  # bytes of an input


@dataclass(frozen=True)
class Finding:
    """An input that breaks the property; `place` is equal for inputs that break it alike."""

    place: str
    text: str


def finding(target: Target, parse: Parse, folder: Path, data: bytes) -> Finding | None:
    """Return how an input breaks the property of its target, or None."""
    try:
        with guarded(folder, compiles=target.compiles):
            parse(data)
    except LolvitError as error:
        return _of_line(error)
    except target.refusals:
        return None
    except (KeyboardInterrupt, SystemExit) as error:
        return _of_exception(error) if isinstance(error, SystemExit) else _raised(error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
        return _of_exception(error)
    return None


def _raised(error: BaseException) -> None:
    raise error


def _of_line(error: LolvitError) -> Finding | None:
    line = error.line()
    if "\n" in line or not line or len(line) > LONGEST_LINE:
        return Finding(f"line-{type(error).__name__}", f"an error of {len(line)} characters")
    return None


def _of_exception(error: BaseException) -> Finding:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "lolvit" in frame.filename and "/tests/" not in
           frame.filename and "site-packages" not in frame.filename]  # fmt: skip
    last = (own or frames)[-1]
    what = f"{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}"
    if isinstance(error, ForbiddenError):
        what += f"-{hashlib.sha256(str(error)[:60].encode()).hexdigest()[:6]}"
    return Finding(what, "".join(traceback.format_exception(error)))
