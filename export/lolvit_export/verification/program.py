"""Save and load the eager model that an export's artifacts are verified against.

A model that `create_model` can't create by name is saved as a torch.export program in float64, so
that loading it runs none of the user's code.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

from lolvit.manifest import Manifest, Signature
from lolvit.models.checkpoint import read_state
from lolvit.models.heads.segmentation import ClassMap
from lolvit.models.loading import rebuild_model, recorded_data, task_of_config
from lolvit.tasks.segmentation import CLASS_MAP
from lolvit_export.capture import FlatOutputs
from lolvit_export.lowering.torch_export import write_program
from lolvit_runtimes.torch_program import load_program


def save_model(model: nn.Module, signature: Signature, path: Path) -> None:
    """Write a model in eval mode as a program at the signature's shape, in float64, or in float32
    if a part of it can't be converted."""
    shape = signature.inputs[0].shape
    double = copy.deepcopy(model).double().eval()
    try:
        with torch.no_grad():
            program = torch.export.export(
                FlatOutputs(double), (torch.rand(shape, dtype=torch.float64),)
            )
    except Exception:  # noqa: BLE001 - torch raises many types for parts that need float32
        program = torch.export.export(FlatOutputs(model), (torch.rand(shape),))
    write_program(program, path)


def training_data(path: Path) -> str | None:
    """Return the data set that the weights of an export record; None: they record none.

    Raises:
        UserError: the file can't be read.
    """
    return None if path.suffix == ".pt2" else recorded_data(read_state(path)[1])


def load_model(manifest: Manifest, path: Path) -> nn.Module:
    """Return the eager model that an export recorded at `path`, whose sha256 has been checked.

    Raises:
        UserError: the state dict does not match the model.
        DeviceError: the program could run code, or torch can't load it.
    """
    if path.suffix == ".pt2":
        return load_program(path)
    state, config = read_state(path)
    classes = config.get("num_classes", manifest.signature.outputs[0].shape[-1])
    channels = manifest.preprocessing.channels
    model = rebuild_model(
        manifest.model,
        int(classes),
        state,
        str(path),
        in_chans=channels,
        size=manifest.size,
        task=task_of_config(config),
        model_args=config.get("model_args"),
    )
    return ClassMap(model) if manifest.postprocessing.get("kind") == CLASS_MAP else model
