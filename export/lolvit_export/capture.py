"""Capture a model as a flat graph of ATen operations at one fixed input shape."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from lolvit.errors import UserError
from lolvit.models.modes import evaluating
from lolvit_export.functional import functional
from lolvit_export.places import keep_places

INPUT_NAME = "image"
ONLY_OUTPUT = "output"  # the name of a single output that has none of its own
_OUTPUTS = "lolvit_outputs"  # in the metadata of a captured graph
MODEL_PATH = "model"  # of the model in the module that is captured
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Of torch.export's long messages, the line that says what is wrong, the likeliest first.
_TELLING = (
    re.compile(r"data.dependent", re.IGNORECASE),
    re.compile(r"control flow", re.IGNORECASE),
    re.compile(r"not supported|unsupported", re.IGNORECASE),
)
_USER_CODE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\w+)')
_DATA_DEPENDENT = (
    "replace the branch or the shape that depends on the image's values, for instance by"
    " torch.where, or export the part of the model before it"
)

OutputDescription = tuple[str, tuple[int, ...], str]  # name, shape, element type


class FlatOutputs(nn.Module):
    """A model that takes the image by its published name and gives a tensor, or a tuple of the
    tensors that it nests in tuples, lists and dicts."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        found = tuple(tensor for _, tensor in named_outputs(self.model(image)))
        return found[0] if len(found) == 1 else found


def named_outputs(outputs: Any) -> list[tuple[str, Tensor]]:
    """Return the tensors that a model gave, with their names: keys of a dict, fields of a named
    tuple, or output_0, output_1, …; nested ones are joined by an underscore.

    Raises:
        UserError: there is none, one is no tensor, or a key is no name.
    """
    found = list(_flattened(outputs, ""))
    if not found:
        raise UserError("gives no output", remedy="return a tensor, or several")
    if len(found) == 1 and not found[0][0]:
        return [(ONLY_OUTPUT, found[0][1])]
    names = [name for name, _ in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"gives two outputs named '{twice}'", remedy="rename one")
    return found


def _flattened(outputs: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(outputs, Tensor):
        yield name, outputs
        return
    for key, value in _members(outputs, name or ONLY_OUTPUT):
        yield from _flattened(value, f"{name}_{key}" if name and key.isdigit() else key)


def _members(outputs: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(outputs, Mapping):
        for key, value in outputs.items():
            if not isinstance(key, str) or not _NAME.fullmatch(key):
                raise UserError(
                    f"gives a dict with the key {key!r}, which is no name",
                    remedy="use keys of letters, digits and underscores",
                )
            yield key, value
    elif isinstance(outputs, Sequence) and not isinstance(outputs, (str, bytes)):
        fields = getattr(outputs, "_fields", None) or [
            f"{name}_{place}" for place in range(len(outputs))
        ]
        yield from zip(fields, outputs, strict=True)
    else:
        what = "nothing" if outputs is None else type(outputs).__name__
        where = "" if name == ONLY_OUTPUT else f" as '{name}'"
        raise UserError(f"gives {what}{where}, no tensor", remedy="return tensors alone")


def capture(
    model: nn.Module, size: tuple[int, int], in_chans: int = 3, batch: int = 1
) -> GraphModule:
    """Return `model`, in eval mode, as an ATen graph for images (batch, in_chans, *size).

    The graph takes `image`, gives a tensor or a tuple of them (`described_outputs`), holds its
    weights as attributes and each node's shape in `meta["val"]`; the model itself is left as it
    was.

    Raises:
        UserError: the model cannot run or be traced at this size, or its outputs are not tensors;
            the message carries torch's reason.
    """
    image = example_image(model, size, in_chans, batch)
    where = type(model).__name__
    with evaluating(model):
        outputs = run_once(model, image, where)
        try:
            program = torch.export.export(FlatOutputs(model), (image,))
        except Exception as error:
            raise _not_captured(error, size, where) from error
    graph = functional(program)
    graph.meta[_OUTPUTS] = tuple(
        (name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in outputs
    )
    return graph


def described_outputs(graph: GraphModule) -> tuple[OutputDescription, ...]:
    """Return name, shape and element type of each output of a graph that `capture` gave."""
    found: tuple[OutputDescription, ...] = graph.meta[_OUTPUTS]
    return found


def run_once(model: nn.Module, image: Tensor, where: str) -> list[tuple[str, Tensor]]:
    """Return a model's named outputs for an image (B, C, H, W).

    Raises:
        UserError: it fails on the image, or its outputs are not tensors.
    """
    size = f"{image.shape[2]}x{image.shape[3]}"
    try:
        with torch.no_grad():
            return named_outputs(model(image))
    except UserError as error:
        raise UserError(error.what, where=where, remedy=error.remedy) from error
    except Exception as error:
        raise UserError(
            f"cannot run on an image (1, {image.shape[1]}, {size.replace('x', ', ')}):"
            f" {_first_line(error)}",
            where=where,
            remedy="try another size, such as a multiple of 32, or check the number of channels",
        ) from error


def _not_captured(error: Exception, size: tuple[int, int], where: str) -> UserError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = next((ln for rule in _TELLING for ln in lines if rule.search(ln)), None)
    reason = (telling or _first_line(error)).rstrip(".")
    data_dependent = telling is not None and any(r.search(telling) for r in _TELLING[:2])
    if place := _place_in_user_code(lines):
        reason = f"{reason} ({place})"
    return UserError(
        f"cannot be captured at {size[0]}x{size[1]}: {reason}",
        where=where,
        remedy=_DATA_DEPENDENT
        if data_dependent
        else "try a larger size, or one that is a multiple of 32",
    )


def _place_in_user_code(lines: Sequence[str]) -> str | None:
    """Return file and line of the innermost call that is not in a library."""
    places = [match for line in lines if (match := _USER_CODE.search(line))]
    own = [place for place in places if "site-packages" not in place["file"]]
    return f"{own[-1]['file']}, line {own[-1]['line']}" if own else None


def _first_line(error: Exception) -> str:
    return next((ln.strip() for ln in str(error).splitlines() if ln.strip()), type(error).__name__)


def example_image(
    model: nn.Module, size: tuple[int, int], in_chans: int = 3, batch: int = 1
) -> Tensor:
    """Return a fixed image (batch, in_chans, *size) in the model's own float type."""
    floats = (p.dtype for p in model.parameters() if p.is_floating_point())
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, in_chans, *size, generator=generator)
    return image.to(next(floats, torch.float32))


def recapture(module: GraphModule) -> ExportedProgram:
    """Return a rewritten graph as an ExportedProgram, which checks it once more; its nodes know the
    modules that they come from."""
    value = next(node for node in module.graph.nodes if node.op == "placeholder").meta["val"]
    image = torch.rand(tuple(value.shape)).to(value.dtype)
    program = torch.export.export(module, (image,))
    keep_places(module, program)
    return program
