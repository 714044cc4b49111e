"""Save and load the eager model that an export's artifacts are verified against.

A model that `create_model` can't create by name is saved as a torch.export program, so that loading
it runs none of the user's code.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from lolvit.manifest import Manifest, Signature
from lolvit.models.checkpoint import read_state
from lolvit.models.heads.segmentation import ClassMap
from lolvit.models.loading import rebuild_model, recorded_data, task_of_config
from lolvit.tasks.segmentation import CLASS_MAP
from lolvit_export.capture import FlatOutputs
from lolvit_export.lowering.torch_export import write_program
from lolvit_runtimes.torch_program import load_program


def save_model(
    model: nn.Module, signature: Signature, path: Path, captured: ExportedProgram | None = None
) -> None:
    """Write a model in eval mode as a program at the signature's shape.

    It is the one that was `captured`, in float32, if converting it to float64 gives what the model
    gives there; else the model is captured in float64, or in float32 if a part of it can't be
    converted.
    """
    if captured is None or not _follows_its_weights(captured):
        captured = _in_highest_precision(model, signature.inputs[0].shape)
    write_program(captured, path)


def _follows_its_weights(program: ExportedProgram) -> bool:
    """Whether all numbers of a program have the type of its weights and image: no operation names a
    floating-point type, and no branch or loop is a program of its own."""
    if [*program.graph_module.children()]:
        return False
    named = (
        value
        for node in program.graph.nodes
        for value in tree_leaves((node.args, node.kwargs))
        if isinstance(value, torch.dtype)
    )
    return not any(dtype.is_floating_point or dtype.is_complex for dtype in named)


def _in_highest_precision(model: nn.Module, shape: tuple[int, ...]) -> ExportedProgram:
    double = copy.deepcopy(model).double().eval()
    try:
        with torch.no_grad():
            return torch.export.export(
                FlatOutputs(double), (torch.rand(shape, dtype=torch.float64),)
            )
    except Exception:  # noqa: BLE001 - torch raises many types for parts that need float32
        return torch.export.export(FlatOutputs(model), (torch.rand(shape),))


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
