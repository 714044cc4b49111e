"""Opens a torch.export program, after a look at everything in it that torch would run as code.

torch's own page says never to load one from an untrusted source, and there is reason: weights and
example inputs may be pickles, a node may call whatever is reachable from `torch` (`torch.os.system`
is), symbolic shapes are parsed by `eval`, and an archive may carry compiled libraries. What an
export writes has none of these, so a file with any of them is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn
from torch.export.pt2_archive._package import PT2ArchiveReader, load_pt2

from lolvit.errors import DeviceError
from lolvit_runtimes.native import reason

# What torch raises on a broken archive: the types have no common base.
RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError, ValueError, TypeError, LookupError, AssertionError, AttributeError, OSError,
    MemoryError, RecursionError,
)  # fmt: skip
_MODEL, _SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
_CONFIGS = (
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
_PLAIN = re.compile(r"data/(weights/weight|constants/tensor)_\d+")
_BOOKKEEPING = ("archive_format", "archive_version", "byteorder")
_TARGET = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.getitem")


def load_program(path: Path) -> nn.Module:
    """Return the module of a torch.export program.

    Raises:
        DeviceError: it holds what could run as code, or torch refused it.
    """
    try:
        _refuse_code(path)
        program = load_pt2(str(path)).exported_programs["model"]
        return program.module(check_guards=False)
    except RUNTIME_ERRORS as error:
        raise DeviceError(f"torch cannot open it: {reason(error)}", where=str(path)) from error


def _refuse_code(path: Path) -> None:
    """Raise what `load_program` turns into its line where a part could run as code."""
    with PT2ArchiveReader(str(path)) as archive:
        names = archive.get_file_names()
        for name in names:
            known = name in (_MODEL, _SAMPLES, *_CONFIGS, *_BOOKKEEPING)
            if not known and not _PLAIN.fullmatch(name) and not name.startswith(".data/"):
                raise ValueError(f"it holds '{name}', which no export writes")
        for name in _CONFIGS:
            for entry in json.loads(archive.read_string(name))["config"].values():
                if entry["use_pickle"] or not entry["path_name"].startswith(("weight_", "tensor_")):
                    raise ValueError(f"{name} names a pickle")
        if archive.read_bytes(_SAMPLES):
            raise ValueError("it holds example inputs, a pickle, which no export writes")
        for key, value in _pairs(json.loads(archive.read_string(_MODEL))):
            if key == "target" and not _TARGET.fullmatch(str(value)):
                raise ValueError(f"it calls {value}")
            if key in ("expr_str", "as_expr"):
                raise ValueError("it has a symbolic shape")


def _pairs(document: Any) -> Iterator[tuple[str, Any]]:
    """Walk all keys of a JSON document with their values."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield key, value
            yield from _pairs(value)
    elif isinstance(document, list):
        for value in document:
            yield from _pairs(value)
