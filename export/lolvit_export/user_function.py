"""A model that a function in the user's file returns: my_models.py:build.

Nothing here loads torch before the user's file does, so that a mistake in the name is found at
once.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lolvit.errors import LolvitError, UserError

if TYPE_CHECKING:
    from torch import nn

_CALLED = "it is called without arguments and returns the module"
_NO_FILE = (
    "relative paths start at the current folder: run lolvit in the right one, or build the path"
    " from __file__"
)
_FUNCTION = re.compile(r"(?P<file>.+\.py):(?P<name>[A-Za-z_][A-Za-z0-9_]*)")


def check_reference(reference: str) -> tuple[Path, str]:
    """Return the file and the function of a reference FILE.py:FUNCTION. The file is parsed, not
    executed.

    Raises:
        UserError: no function is named, there is no such file, it is no Python, or the name of the
            function is nowhere in it.
    """
    match = _FUNCTION.fullmatch(reference)
    path = Path(reference.rpartition(".py")[0] + ".py")
    if not path.is_file():
        raise UserError("no such file", where=str(path), remedy="check the path")
    functions = list(_functions_in(path))
    if match is not None:
        if not _may_define(path, match["name"]):
            raise _no_function(path, match["name"], functions)
        return path, match["name"]
    ways = ", ".join(f"{path}:{name}" for name in functions)
    if functions:
        remedy = f"write {ways}" if len(functions) == 1 else f"write one of: {ways}"
    else:
        remedy = f"define one that returns the module, and write {path}:FUNCTION"
    raise UserError("names no function", where=reference, remedy=remedy)


def size_unknown(model: str) -> UserError:
    """Return the error for a module whose images' size is neither given nor recorded."""
    return UserError(
        "its image size is unknown", where=model, remedy="give --size 224, or size=(224, 224)"
    )


def _functions_in(path: Path) -> Iterator[str]:
    """Yield the names of a file's public functions that can be called without arguments.

    Raises:
        UserError: it can't be read, or is no Python.
    """
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise _cannot_be_imported(path, error) from error
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            given = node.args
            positional = len(given.posonlyargs) + len(given.args) - len(given.defaults)
            if positional == 0 and None not in given.kw_defaults:
                yield node.name


def _may_define(path: Path, name: str) -> bool:
    """Whether a file can define a name: the word is in it, or it makes names that are not."""
    words = set(re.findall(r"\w+", path.read_text(encoding="utf-8", errors="replace")))
    return bool(words & {name, "__getattr__", "exec", "globals", "setattr", "vars"}) or any(
        isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        for node in ast.walk(ast.parse(path.read_bytes()))
    )


def _no_function(path: Path, name: str, functions: Sequence[str]) -> UserError:
    near = difflib.get_close_matches(name, functions, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return UserError(
        f"has no function '{name}'", where=str(path),
        remedy=f"{hint}choose from: {', '.join(functions)}" if functions else f"define {name}()",
    )  # fmt: skip


def _cannot_be_imported(path: Path, error: Exception) -> UserError:
    return UserError(
        f"cannot be imported: {type(error).__name__}: {error}",
        where=str(path),
        remedy="fix the file",
    )


def build_model(reference: str) -> nn.Module:
    """Import FILE.py of a reference FILE.py:FUNCTION, and call the function without arguments.

    The file's own folder is on `sys.path` during the import.

    Raises:
        UserError: there is no such file or function, importing or calling it fails, or it returns
            something else than a module.
    """
    path, name = check_reference(reference)
    function = _import_function(path, name)
    from torch import nn  # the user's file has loaded it

    try:
        model = function() if not isinstance(function, nn.Module) else function
    except LolvitError:
        raise
    except Exception as error:
        raise UserError(
            f"{name}() failed: {type(error).__name__}: {error}", where=str(path),
            remedy=_NO_FILE if isinstance(error, FileNotFoundError) else _CALLED,
        ) from error  # fmt: skip
    if not isinstance(model, nn.Module):
        raise UserError(
            f"{name}() returns {type(model).__name__}, not a torch.nn.Module", where=str(path),
            remedy="return the module",
        )  # fmt: skip
    return model


def _import_function(path: Path, name: str) -> Callable[[], Any]:
    spec = importlib.util.spec_from_file_location(f"lolvit_user_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look up a class's module
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _cannot_be_imported(path, error) from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    function = getattr(module, name, None)
    if not callable(function):
        raise _no_function(path, name, list(_functions_in(path)))
    found: Callable[[], Any] = function
    return found
