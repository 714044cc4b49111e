"""Compile what was lowered for Qualcomm's HTP into context binaries, one for each chip.

A context binary is loaded at once, where the portable model is compiled on the device for seconds.
It is embedded in its wrapper, an ONNX model of a single operation, so that an artifact is one file.
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

_MOST_NAMED = 5


def compiled_variants(artifact: Artifact, folder: Path, socs: Sequence[Soc]) -> list[Artifact]:
    """Return a portable artifact with what it needs, and what it is compiled to for each chip.

    Raises:
        GateFailedError: HTP does not take every operation; the message names those that it leaves.
        DeviceError: the compiler failed.
    """
    source = _portable(artifact)
    return [source, *(compile_for(soc, folder, source) for soc in socs)]


def _portable(artifact: Artifact) -> Artifact:
    """Return a model that is compiled on the device, with what it needs of it."""
    return artifact.model_copy(
        update={"htp": HtpTarget(hexagon=NEEDED_HEXAGON[artifact.precision])}
    )


def compile_for(soc: Soc, folder: Path, source: Artifact) -> Artifact:
    """Write `model-PRECISION-SOC.onnx`, the context binary of a portable artifact in its wrapper,
    and describe it.

    Raises:
        GateFailedError: HTP does not take every operation; the message names those that it leaves.
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
    """Return the wrapper that the compiler wrote, and how many operations are in its binary."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "context.onnx"
        config = {
            "ep.context_enable": "1",
            "ep.context_embed_mode": "1",
            "ep.context_file_path": str(made),
        }
        with opening("Qualcomm's HTP compiler", source, RUNTIME_ERRORS):
            session = qnn_session(source, soc, config=config, fallback=True)
        _refuse_left_out(fallback_operations(session), source)
        operations = placement_of(session)[HTP]
        if not made.exists():
            raise DeviceError("Qualcomm's HTP compiler wrote no context binary", where=str(source))
        return onnx.load(str(made)), operations


def _refuse_left_out(names: Sequence[str], source: Path) -> None:
    if names:
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        raise GateFailedError(
            f"HTP does not take {', '.join(names[:_MOST_NAMED])}{more}",
            where=source.name,
            remedy="run: lolvit lint --target htp",
        )
