"""Capture a model by torch.export as a flat graph of ATen operations, at one fixed input shape."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from lolvit.errors import UserError
from lolvit.models.modes import eval_mode
from lolvit_export.functional import functionalize
from lolvit_export.module_paths import transfer_module_stacks

INPUT_NAME = "image"
OUTPUT_IMAGE = "output_image"
ONLY_OUTPUT = "output"  # the name of a single unnamed output
_OUTPUTS = "lolvit_outputs"  # key in a captured graph's meta
MODEL_PATH = "model"  # of the model inside FlatOutputs, in nn_module_stack
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Patterns of the line in torch.export's long messages that gives the reason, most likely first.
_REASON_PATTERNS = (
    re.compile(r"data.dependent", re.IGNORECASE),
    re.compile(r"control flow", re.IGNORECASE),
    re.compile(r"not supported|unsupported", re.IGNORECASE),
)
_USER_CODE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\w+)')
# By the first layer of a model: what it takes if not images.
_OTHER_INPUTS: Final[dict[type[nn.Module], str]] = {
    nn.Conv3d: "video or volumes",
    nn.Conv1d: "sequences",
    nn.Embedding: "tokens",
}
_DATA_DEPENDENT = (
    "replace the branch or the shape that depends on the image's values, for instance by"
    " torch.where, or export the part of the model before it"
)

OutputDescription = tuple[str, tuple[int, ...], str]  # name, shape, dtype


class FlatOutputs(nn.Module):
    """Wraps a model: its input is named `image`; its outputs, which may be nested in tuples, lists
    and dicts, become one tensor or a flat tuple."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        found = tuple(tensor for _, tensor in named_outputs(self.model(image)))
        return found[0] if len(found) == 1 else found


class ChosenOutputs(nn.Module):
    """Wraps a model: of its outputs, it returns those at `positions`, under their names."""

    def __init__(self, model: nn.Module, positions: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.positions = tuple(positions)

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        found = named_outputs(self.model(image))
        chosen = [found[position] for position in self.positions]
        return chosen[0][1] if len(chosen) == 1 else dict(chosen)


def named_outputs(outputs: Any) -> list[tuple[str, Tensor]]:
    """Return the tensors of a model's outputs with their names: keys of a dict, fields of a named
    tuple, or output_0, output_1, …. Where two have one name, as in nested dicts, those of what
    holds them come before it, joined by underscores. One named as the input, `image`, is named
    `output_image`: in ONNX and Core ML they would be the same tensor. A `None` is ignored.

    Raises:
        UserError: there is no output, one is not a tensor, or a key is not an identifier.
    """
    found = list(_flattened(outputs, ()))
    if not found:
        raise UserError("returns no output", remedy="return one tensor or several")
    last = Counter(_name(path) for path, _ in found)
    names = [_name(path) if last[_name(path)] == 1 else _whole_name(path) for path, _ in found]
    names = [OUTPUT_IMAGE if name == INPUT_NAME else name for name in names]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise UserError(f"returns two outputs named '{twice}'", remedy="rename one")
    return [(name, tensor) for name, (_, tensor) in zip(names, found, strict=True)]


Keys = tuple[str | int, ...]  # keys, fields and indices that lead to a tensor


def _name(path: Keys) -> str:
    """Return the last key, with the indices behind it."""
    if not path:
        return ONLY_OUTPUT
    key = path[-1]
    return key if isinstance(key, str) else f"{_name(path[:-1])}_{key}"


def _whole_name(path: Keys) -> str:
    """Return all keys and indices."""
    begun = () if isinstance(path[0], str) else (ONLY_OUTPUT,)
    return "_".join(map(str, (*begun, *path)))


def _flattened(outputs: Any, path: Keys) -> Iterator[tuple[Keys, Tensor]]:
    if isinstance(outputs, Tensor):
        yield path, outputs
        return
    for key, value in _members(outputs, path):
        if value is not None:
            yield from _flattened(value, (*path, key))


def _members(outputs: Any, path: Keys) -> Iterator[tuple[str | int, Any]]:
    if isinstance(outputs, Mapping):
        for key, value in outputs.items():
            if not isinstance(key, str) or not _NAME.fullmatch(key):
                raise UserError(
                    f"returns a dict with the key {key!r}, which is not an identifier",
                    remedy="use keys of letters, digits and underscores",
                )
            yield key, value
    elif isinstance(outputs, Sequence) and not isinstance(outputs, (str, bytes)):
        yield from zip(
            getattr(outputs, "_fields", None) or range(len(outputs)), outputs, strict=True
        )
    else:
        what = "nothing" if outputs is None else type(outputs).__name__
        where = f" as '{_name(path)}'" if path else ""
        raise UserError(f"returns {what}{where}, not a tensor", remedy="return only tensors")


def capture(
    model: nn.Module, size: tuple[int, int], in_chans: int = 3, batch: int = 1
) -> GraphModule:
    """Return `model`, in eval mode, as an ATen graph for images (batch, in_chans, *size).

    Raises:
        UserError: as `capture_program`.
    """
    return capture_program(model, size, in_chans, batch)[1]


def capture_program(
    model: nn.Module, size: tuple[int, int], in_chans: int = 3, batch: int = 1
) -> tuple[ExportedProgram, GraphModule]:
    """Return `model`, in eval mode, as torch.export captures it for images (batch, in_chans, *size)
    and as an ATen graph.

    The graph's input is `image`, its output a tensor or a tuple of them (`described_outputs`); its
    weights are attributes, and each node's shape is in `meta["val"]`. The model is not modified.

    Raises:
        UserError: the model cannot run or be captured at this size, or its outputs are not tensors;
            the message has torch's reason.
    """
    image = example_image(model, size, in_chans, batch)
    where = type(model).__name__
    with eval_mode(model):
        outputs = run_once(model, image, where)
        try:
            program = torch.export.export(FlatOutputs(model), (image,))
        except Exception as error:
            raise _capture_error(error, size, where) from error
    graph = functionalize(program)
    graph.meta[_OUTPUTS] = tuple(
        (name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in outputs
    )
    return program, graph


def described_outputs(graph: GraphModule) -> tuple[OutputDescription, ...]:
    """Return name, shape and dtype of each output of a graph that `capture` returned."""
    found: tuple[OutputDescription, ...] = graph.meta[_OUTPUTS]
    return found


def repeated_outputs(graph: GraphModule) -> dict[int, int]:
    """Return, by the position of each output that is an earlier one again, that one's position."""
    (node,) = (node for node in graph.graph.nodes if node.op == "output")
    (outputs,) = node.args
    values = outputs if isinstance(outputs, (list, tuple)) else (outputs,)
    first = [values.index(value) for value in values]
    return {place: earlier for place, earlier in enumerate(first) if earlier != place}


def run_once(model: nn.Module, image: Tensor, where: str) -> list[tuple[str, Tensor]]:
    """Return a model's named outputs for an image (B, C, H, W). Its buffers are not modified, even
    if its forward pass writes to them.

    Raises:
        UserError: it fails on the image, or its outputs are not tensors.
    """
    size = f"{image.shape[2]}x{image.shape[3]}"
    try:
        with torch.no_grad():
            buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
            return named_outputs(torch.func.functional_call(model, buffers, (image,)))
    except UserError as error:
        raise UserError(error.what, where=where, remedy=error.remedy) from error
    except Exception as error:
        reason = _first_line(error)
        raise UserError(
            f"cannot run on an image (1, {image.shape[1]}, {size.replace('x', ', ')}): {reason}",
            where=where,
            remedy=_remedy(model, reason),
        ) from error


def _remedy(model: nn.Module, reason: str) -> str:
    first = next((layer for layer in model.modules() if [*layer.parameters(recurse=False)]), None)
    other = next((what for kind, what in _OTHER_INPUTS.items() if isinstance(first, kind)), None)
    if other is not None:
        return (
            f"its first layer, {type(first).__name__}, takes {other}: give a module whose forward"
            " takes one image (batch, channels, height, width)"
        )
    if "too small" in reason:
        return "try a larger size"
    return "try another size, such as a multiple of 32, or check the number of channels"


def _capture_error(error: Exception, size: tuple[int, int], where: str) -> UserError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = next((ln for rule in _REASON_PATTERNS for ln in lines if rule.search(ln)), None)
    reason = (line or _first_line(error)).rstrip(".")
    data_dependent = line is not None and any(r.search(line) for r in _REASON_PATTERNS[:2])
    if source := _user_source_line(lines):
        reason = f"{reason} ({source})"
    return UserError(
        f"cannot be captured at {size[0]}x{size[1]}: {reason}",
        where=where,
        remedy=_DATA_DEPENDENT
        if data_dependent
        else "try a larger size, or one that is a multiple of 32",
    )


def _user_source_line(lines: Sequence[str]) -> str | None:
    """Return file and line of the innermost stack frame that is not in a library."""
    frames = [match for line in lines if (match := _USER_CODE.search(line))]
    own = [frame for frame in frames if "site-packages" not in frame["file"]]
    return f"{own[-1]['file']}, line {own[-1]['line']}" if own else None


def _first_line(error: Exception) -> str:
    return next((ln.strip() for ln in str(error).splitlines() if ln.strip()), type(error).__name__)


def example_image(
    model: nn.Module, size: tuple[int, int], in_chans: int = 3, batch: int = 1
) -> Tensor:
    """Return a fixed image (batch, in_chans, *size) in the dtype of the model's parameters."""
    floats = (p.dtype for p in model.parameters() if p.is_floating_point())
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, in_chans, *size, generator=generator)
    return image.to(next(floats, torch.float32))


def recapture(module: GraphModule) -> ExportedProgram:
    """Return a rewritten graph as an ExportedProgram, which validates it; its nodes keep their
    `nn_module_stack`."""
    value = next(node for node in module.graph.nodes if node.op == "placeholder").meta["val"]
    image = torch.rand(tuple(value.shape)).to(value.dtype)
    program = torch.export.export(module, (image,))
    transfer_module_stacks(module, program)
    return program
