"""The reference of verification: eager PyTorch in float64, and the SNR of its own float32 and half
precision on the same images, which is measured where a threshold depends on it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lolvit.manifest import Preprocessing, Signature
from lolvit.models.finite import check_outputs
from lolvit.tasks import Array, Outputs, Task
from lolvit_export.capture import named_outputs
from lolvit_export.verification.comparison import (
    LARGEST_HALF,
    mean_outputs,
    pooled_snr_db,
    worst_snr_db,
)
from lolvit_export.verification.truth import Truth
from lolvit_runtimes.preprocessing import Pixels, normalize

# Larger in magnitude are constants that mask attention, such as the lowest float32: they become
# infinite in half precision, and their exponential is 0 in both.
_MASK = 1e30
# By how much an output's SNR must be above that of its mean over all photos.
CONSTANT_MARGIN_DB = 1.0
# In float64 the mean of outputs that do not depend on the image differs by rounding alone.
SAME_DB = 200.0
_HALF_FAILURES = (RuntimeError, NotImplementedError, TypeError)


class Reference:
    """An eager model in eval mode that computes reference outputs.

    `dtype` is float64, or float32 if a part of the model can't be converted to float64. `where`
    names the model's weights in messages.
    """

    def __init__(self, model: nn.Module, signature: Signature, where: str = "") -> None:
        self.signature, self._where = signature, where
        self._model = model
        self.dtype, self._exact = self._in_highest_precision()

    def _in_highest_precision(self) -> tuple[torch.dtype, nn.Module]:
        double = _copied(self._model).double()
        image = torch.zeros(self.signature.inputs[0].shape, dtype=torch.float64)
        try:
            with torch.no_grad():
                double(image)
        except (RuntimeError, TypeError, ValueError):
            return torch.float32, self._model
        return torch.float64, double

    def outputs(self, photos: Sequence[Pixels], preprocessing: Preprocessing) -> list[Outputs]:
        """Return the outputs for each photo (H, W, C), by the signature's names; their first axis,
        the batch, has size 1.

        Raises:
            UserError: one is not finite; the message names the layer.
        """
        found = list(self._run(self._exact, photos, preprocessing, self.dtype))
        for photo, outputs in zip(photos, found, strict=True):
            tensors = [torch.from_numpy(array) for array in outputs.values()]
            check_outputs(self._exact, self._input(photo, preprocessing), tensors, self._where)
        return found

    def noise(
        self,
        photos: Sequence[Pixels],
        references: Sequence[Outputs],
        preprocessing: Preprocessing,
        precision: str,
    ) -> dict[str, float]:
        """Return by output the worst photo's SNR, in dB, of eager PyTorch in `precision` ("fp32" or
        "fp16", weights and activations) against `references`."""
        if precision == "fp32":
            single = _copied(self._model).float()
            found = list(self._run(single, photos, preprocessing, torch.float32))
        else:
            found = self._in_half_precision(photos, preprocessing)
        return worst_snr_db(references, found, score_names(self.signature))

    def largest_activation(self, photos: Sequence[Pixels], preprocessing: Preprocessing) -> float:
        """Return the largest magnitude that an operation of the model computes on the photos, in
        the highest precision; constants that mask attention do not count."""
        watched = _LargestActivation()
        with watched:
            for _ in self._run(self._exact, photos, preprocessing, self.dtype):
                pass
        return watched.largest

    def _in_half_precision(
        self, photos: Sequence[Pixels], preprocessing: Preprocessing
    ) -> list[Outputs]:
        try:
            half = _copied(self._model).half()
            return list(self._run(half, photos, preprocessing, torch.float16))
        except _HALF_FAILURES:  # an operation without a half-precision kernel on the CPU
            rounded = _rounding_to_half(_copied(self._model).float())
            return list(self._run(rounded, photos, preprocessing, torch.float32))

    def _run(
        self,
        model: nn.Module,
        photos: Sequence[Pixels],
        preprocessing: Preprocessing,
        dtype: torch.dtype,
    ) -> Iterator[Outputs]:
        names = [spec.name for spec in self.signature.outputs]
        with torch.no_grad():
            for photo in photos:
                outputs = named_outputs(model(self._input(photo, preprocessing).to(dtype)))
                yield {
                    name: _first(tensor) for name, (_, tensor) in zip(names, outputs, strict=True)
                }

    def _input(self, photo: Pixels, preprocessing: Preprocessing) -> Tensor:
        image = torch.from_numpy(normalize(photo, preprocessing)).to(self.dtype)
        return image.expand(self.signature.inputs[0].batch, -1, -1, -1)


class _LargestActivation(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the largest magnitude that any operation gives inside the block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.largest = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.numel():
                magnitude = max(abs(float(each)) for each in torch.aminmax(tensor))
                if self.largest < magnitude < _MASK:
                    self.largest = magnitude
        return result


def _first(tensor: Tensor) -> Array:
    """Return an output for the first image, (1, ...), floats as float64."""
    part = tensor[:1].detach()
    array: Array = (part.double() if part.is_floating_point() else part).numpy()
    return array


def _rounding_to_half(model: nn.Module) -> nn.Module:
    """Round, in place, a model's weights and each layer's output to half precision."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.half().float()

    def rounded(_module: nn.Module, _inputs: object, output: object) -> object:
        floats = isinstance(output, Tensor) and output.is_floating_point()
        return output.half().float() if floats and isinstance(output, Tensor) else output

    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(rounded)
    return model


def score_names(signature: Signature) -> tuple[str, ...]:
    """Return the names of outputs from 0 to 1."""
    return tuple(spec.name for spec in signature.outputs if spec.meaning == "scores")


class ReferenceData:
    """Photos (H, W, C) with eager PyTorch's outputs, its SNR in lower precisions, and what is known
    to be true of them.

    `trained`: whether the weights are trained. Outputs and SNR are computed on first use.
    """

    def __init__(
        self,
        reference: Reference,
        photos: Sequence[Pixels],
        preprocessing: Preprocessing,
        *,
        truth: Truth | None = None,
        trained: bool = True,
    ) -> None:
        self.photos, self.preprocessing = photos, preprocessing
        self.truth, self.trained = truth, trained
        self._reference = reference
        self._noise: dict[str, dict[str, float]] = {}
        self._constant: dict[bool, dict[str, float]] = {}  # by whether the photos are pooled
        self._accuracy: float | None = None

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of outputs from 0 to 1."""
        return score_names(self._reference.signature)

    @cached_property
    def references(self) -> list[Outputs]:
        """Eager's outputs for each photo."""
        return self._reference.outputs(self.photos, self.preprocessing)

    def constant_snr_db(self, *, pooled: bool) -> dict[str, float]:
        """Return by float output, scores left out, the SNR in dB of its mean over the photos in
        place of each photo's: the worst photo's, or that of all together. 300 is that of an output
        that does not depend on the image; of one photo nothing can be said."""
        if len(self.photos) < 2:
            return {}
        if pooled not in self._constant:  # asked for with every candidate of a search
            compare = pooled_snr_db if pooled else worst_snr_db
            found = compare(self.references, mean_outputs(self.references))
            self._constant[pooled] = {
                name: value for name, value in found.items() if name not in self.scores
            }
        return self._constant[pooled]

    def least_snr_db(self, *, pooled: bool) -> dict[str, float]:
        """Return by output that depends on the image, as `constant_snr_db` does, the SNR in dB that
        shows something: what is worse would be as good with the same outputs for every image."""
        return {
            name: value + CONSTANT_MARGIN_DB
            for name, value in self.constant_snr_db(pooled=pooled).items()
            if value < SAME_DB
        }

    @cached_property
    def is_constant(self) -> bool:
        """Whether no output depends on the image."""
        first, constant = self.references[0], self.constant_snr_db(pooled=True)
        return (
            all(
                constant[name] >= SAME_DB
                if name in constant
                else all(np.array_equal(each[name], first[name]) for each in self.references)
                for name in first
            )
            and len(self.photos) > 1
        )

    def accuracy(self, task: Task) -> float | None:
        """Return eager's accuracy in per cent; None without the truth about enough images."""
        if self.truth is None or not self.truth.is_enough:
            return None
        if self._accuracy is None:
            self._accuracy = self.truth.accuracy(task, self.references)
        return self._accuracy

    def accuracy_change(self, task: Task, outputs: Sequence[Outputs]) -> float | None:
        """Return by how many percentage points the accuracy of outputs is above eager's; None where
        eager's is unknown."""
        eager = self.accuracy(task)
        found = self.truth.accuracy(task, outputs) if self.truth and eager is not None else None
        return found - eager if eager is not None and found is not None else None

    def noise_db(self, precision: str, output: str) -> float:
        """Return the worst photo's SNR, in dB, of eager PyTorch in `precision` ("fp32", "fp16")."""
        if precision not in self._noise:
            self._noise[precision] = self._reference.noise(
                self.photos, self.references, self.preprocessing, precision
            )
        return self._noise[precision][output]

    @cached_property
    def fp16_headroom(self) -> float:
        """Half precision's largest number over the largest activation: below 1 one overflows."""
        largest = self._reference.largest_activation(self.photos, self.preprocessing)
        return LARGEST_HALF / max(largest, 1.0)

    def first(self, count: int | None) -> ReferenceData:
        """Return the data of the first `count` photos; None: of all."""
        if count is None or count >= len(self.photos):
            return self
        part = ReferenceData(
            self._reference,
            self.photos[:count],
            self.preprocessing,
            truth=self.truth.first(count) if self.truth is not None else None,
            trained=self.trained,
        )
        if "references" in self.__dict__:
            part.__dict__["references"] = self.references[:count]
        return part


def _copied(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode: one of a `torch.fx.GraphModule`, as torchvision's feature
    extractors are, comes back in training mode."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)  # of torch about itself
        return copy.deepcopy(model).eval()
