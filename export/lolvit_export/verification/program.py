"""The eager model beside its artifacts, where its name does not make it again: as a captured
program in float64, which anyone can verify the artifacts against, and which runs no code of the
user's."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

from lolvit.manifest import Manifest, Signature
from lolvit.models.checkpoint import read_state
from lolvit.models.loading import restore
from lolvit_export.capture import FlatOutputs
from lolvit_export.lowering.torch_export import write_program
from lolvit_runtimes.torch_program import load_program


def save_model(model: nn.Module, signature: Signature, path: Path) -> None:
    """Write a model, in eval mode, as a program at the signature's shape: in float64, or in float32
    where it has parts that are tied to that."""
    shape = signature.inputs[0].shape
    double = copy.deepcopy(model).double().eval()
    try:
        with torch.no_grad():
            program = torch.export.export(
                FlatOutputs(double), (torch.rand(shape, dtype=torch.float64),)
            )
    except Exception:  # noqa: BLE001 - torch raises many types where a part is tied to float32
        program = torch.export.export(FlatOutputs(model), (torch.rand(shape),))
    write_program(program, path)


def load_model(manifest: Manifest, path: Path) -> nn.Module:
    """Return the eager model that an export recorded at `path`, whose sha256 has been checked.

    Raises:
        UserError: the state does not fit the model.
        DeviceError: the program holds what could run as code, or torch refused it.
    """
    if path.suffix == ".pt2":
        return load_program(path)
    state, config = read_state(path)
    classes = config.get("num_classes", manifest.signature.outputs[0].shape[-1])
    channels = manifest.preprocessing.channels
    return restore(manifest.model, int(classes), state, where=str(path), in_chans=channels)
