"""Load a torch.export program after checking that it contains nothing that torch would execute.

torch's documentation warns not to load one from an untrusted source: weights and example inputs may
be pickles, a node may call anything reachable from `torch` (such as `torch.os.system`), symbolic
shapes are parsed by `eval`, and an archive may contain compiled libraries. Programs that lolvit
exports have none of these, so a file with any of them is rejected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn
from torch.export.pt2_archive._package import PT2ArchiveReader, load_pt2

from lolvit.documents import parse_json
from lolvit.errors import DeviceError
from lolvit.models.torch_file import check_stored
from lolvit_runtimes.native import reason

# torch's exceptions for a damaged archive, without a common base.
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
_TARGET = re.compile(r"torch\.ops\.(?:aten|torchvision)\.\w+\.\w+|_operator\.getitem")


def load_program(path: Path) -> nn.Module:
    """Return the module of a torch.export program.

    Raises:
        DeviceError: it contains something that could execute code, or torch can't load it.
    """
    try:
        _check_no_code(path)
        program = load_pt2(str(path)).exported_programs["model"]
        return program.module(check_guards=False)
    except RUNTIME_ERRORS as error:
        raise DeviceError(f"torch cannot open it: {reason(error)}", where=str(path)) from error


def _check_no_code(path: Path) -> None:
    """Check that no part of an archive could execute code.

    Raises:
        ValueError: one could; `load_program` converts it to a DeviceError.
    """
    check_stored(path)
    with PT2ArchiveReader(str(path)) as archive:
        names = archive.get_file_names()
        for name in names:
            expected = name in (_MODEL, _SAMPLES, *_CONFIGS, *_BOOKKEEPING)
            if not expected and not _PLAIN.fullmatch(name) and not name.startswith(".data/"):
                raise ValueError(f"it contains '{name}', which lolvit does not export")
        for name in _CONFIGS:
            for entry in parse_json(archive.read_bytes(name))["config"].values():
                if entry["use_pickle"] or not entry["path_name"].startswith(("weight_", "tensor_")):
                    raise ValueError(f"{name} refers to a pickle")
        if archive.read_bytes(_SAMPLES):
            raise ValueError("it contains example inputs as a pickle, which lolvit does not export")
        for key, value in _pairs(parse_json(archive.read_bytes(_MODEL))):
            if key == "target" and not _TARGET.fullmatch(str(value)):
                raise ValueError(f"it calls {value}")
            if key in ("expr_str", "as_expr"):
                raise ValueError("it has a symbolic shape")


def _pairs(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield all keys of a JSON document, nested ones too, with their values."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield key, value
            yield from _pairs(value)
    elif isinstance(document, list):
        for value in document:
            yield from _pairs(value)
