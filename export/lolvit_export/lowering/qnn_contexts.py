"""Compile a `qnn` artifact ahead of time to context binaries for Qualcomm's HTP, one per SoC.

A context binary loads immediately; compiling the portable model on the device takes seconds. It is
embedded in its wrapper, an ONNX model of a single operation, so that an artifact is one file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx

from lolvit.errors import DeviceError, GateFailedError
from lolvit.files import sha256_of, size_of, write_atomic
from lolvit.manifest import Artifact, HtpTarget
from lolvit_runtimes.native import opening
from lolvit_runtimes.ort import RUNTIME_ERRORS
from lolvit_runtimes.qnn_provider import (
    COMPILED,
    HTP,
    fallback_operations,
    placement_of,
    qnn_session,
)
from lolvit_runtimes.qnn_socs import NEEDED_HEXAGON, Soc

_MAX_LISTED = 5


def compiled_variants(artifact: Artifact, folder: Path, socs: Sequence[Soc]) -> list[Artifact]:
    """Return a portable artifact with its requirements, and its context binary for each SoC.

    Raises:
        GateFailedError: HTP does not support every operation; the message names the others.
        DeviceError: the compiler failed.
    """
    source = _portable(artifact)
    return [source, *(compile_for(soc, folder, source) for soc in socs)]


def _portable(artifact: Artifact) -> Artifact:
    """Return a portable artifact with its hardware requirements."""
    return artifact.model_copy(
        update={"htp": HtpTarget(hexagon=NEEDED_HEXAGON[artifact.precision])}
    )


def compile_for(soc: Soc, folder: Path, source: Artifact) -> Artifact:
    """Write `model-PRECISION-SOC.onnx`, the context binary of a portable artifact in its wrapper,
    and return its manifest entry.

    Raises:
        GateFailedError: HTP does not support every operation; the message names the others.
        DeviceError: the compiler failed.
    """
    path = folder / f"model-{source.precision}-{soc.id}.onnx"
    wrapper, operations = _compiled(folder / source.path, soc)
    entry = wrapper.metadata_props.add()
    entry.key, entry.value = COMPILED, str(operations)
    write_atomic(path, wrapper.SerializeToString())
    target = HtpTarget(
        hexagon=max(NEEDED_HEXAGON[source.precision], soc.hexagon or 0),
        soc=soc.id,
        soc_model=soc.model,
    )
    described = {
        "path": path.name, "sha256": sha256_of(path), "bytes": size_of(path), "htp": target,
        "container": None, "gates": (), "measurements": {},
    }  # fmt: skip
    return source.model_copy(update=described)


def _compiled(source: Path, soc: Soc) -> tuple[onnx.ModelProto, int]:
    """Return the wrapper that the compiler wrote, and the number of operations in its binary."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "context.onnx"
        config = {
            "ep.context_enable": "1",
            "ep.context_embed_mode": "1",
            "ep.context_file_path": str(made),
        }
        with opening("Qualcomm's HTP compiler", source, RUNTIME_ERRORS):
            session = qnn_session(source, soc, config=config, fallback=True)
        _check_no_fallback(fallback_operations(session), source)
        operations = placement_of(session)[HTP]
        if not made.exists():
            raise DeviceError("Qualcomm's HTP compiler wrote no context binary", where=str(source))
        return onnx.load(str(made)), operations


def _check_no_fallback(names: Sequence[str], source: Path) -> None:
    if names:
        more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
        raise GateFailedError(
            f"HTP does not support {', '.join(names[:_MAX_LISTED])}{more}",
            where=source.name,
            remedy="run: lolvit lint --target htp",
        )
