"""The export targets: one file per target, which defines everything about it, as data.

Each file defines a `Target` named `TARGET`; `--to NAME` finds it by its file's name. The files load
no converter and no torch, so that the command line and `lolvit --help` can read them.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lolvit.errors import UserError
from lolvit.registry import choose

HOST = "host"
# With 8-bit weights, a low bound that only broken artifacts miss: what decides is the task's
# accuracy, or its agreement with eager PyTorch. EfficientNet-Lite0 trained on ImageNet, which is
# deployed in int8, has 10.7 to 11.7 dB by plain recipes, and 16.4 where activations have 16 bits;
# calibrated on black photos, LOLViT-XX has 9 on digits.
LEAST_8_BIT_DB = 9.5


@dataclass(frozen=True)
class PrecisionSpec:
    """One precision of a target.

    Args:
        snr_db: the threshold of its SNR gates, in dB.
        quantizer: "module:Class"; with it, the artifact is quantized from one in the precision
            `base`; without, it is lowered.
        base: the precision that it is quantized from.
        snr_db_by_runtime: thresholds in dB of runtimes whose own arithmetic is less precise.
        timed: whether the search for layers that stay in float measures latency on this machine.
        noise_margin_db_by_runtime: by how much the SNR may be below that of eager PyTorch in the
            same precision, in dB, in runtimes that round more than the others.
    """

    snr_db: float
    quantizer: str | None = None
    base: str = "fp32"
    snr_db_by_runtime: Mapping[str, float] = field(default_factory=dict)
    timed: bool = False
    noise_margin_db_by_runtime: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """One export format.

    Args:
        lowering: "module:function", called with (graph, LoweringRequest) -> list[Lowered].
        suffix: of its files; `tag` is inserted before it.
        precisions: by name, in the order in which artifacts are written.
        runtimes: the runtimes that verify it, by device of `lolvit verify --device`.
        cost: relative time of lowering and verifying; of several targets, the one with the highest
            cost is lowered in a child process, in parallel with the others.
        container: the file format, where it differs from the target's name.
        batches: whether it supports a batch size above 1.
        fully_quantized: no layer may stay in float, so that the search is over ranges alone.
        search_runtime: runs the candidates of the quantization search, where the verifying runtime
            is too slow for it.
        unsupported: for a precision that it does not have, the reason, for the error message.
        compiled_variants: "module:function", called with (artifact, folder, socs); returns the
            artifact itself and what it is compiled to ahead of time.
    """

    name: str
    lowering: str
    suffix: str
    precisions: Mapping[str, PrecisionSpec]
    runtimes: Mapping[str, tuple[str, ...]]
    cost: int
    tag: str = ""
    container: str | None = None
    batches: bool = True
    fully_quantized: bool = False
    search_runtime: str | None = None
    unsupported: Mapping[str, str] = field(default_factory=dict)
    compiled_variants: str | None = None

    def file_name(self, precision: str) -> str:
        """Return the file name of the artifact in a precision, such as model-int8.onnx."""
        return f"model-{precision}{self.tag}{self.suffix}"

    @property
    def quantized(self) -> tuple[str, ...]:
        """The precisions that are made by quantization."""
        return tuple(name for name, spec in self.precisions.items() if spec.quantizer)

    @property
    def lowered(self) -> tuple[str, ...]:
        """The precisions that are lowered directly."""
        return tuple(name for name, spec in self.precisions.items() if not spec.quantizer)

    def to_lower(self, requested: tuple[str, ...]) -> tuple[str, ...]:
        """Return the precisions to lower: the requested ones, and the base precisions that
        requested ones are quantized from."""
        bases = {self.precisions[name].base for name in self.quantized if name in requested}
        return tuple(name for name in self.lowered if name in requested or name in bases)

    def threshold(self, precision: str, runtime: str) -> float:
        """Return the SNR threshold, in dB, of an artifact in a runtime."""
        spec = self.precisions[precision]
        return spec.snr_db_by_runtime.get(runtime, spec.snr_db)


def target_names() -> list[str]:
    """Return the names of all targets, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


@functools.cache
def find_target(name: str) -> Target:
    """Return a target by its name.

    Raises:
        UserError: no target has this name.
    """
    module = importlib.import_module(f"{__name__}.{choose('target', name, target_names())}")
    target: Target = module.TARGET
    return target


def all_targets() -> list[Target]:
    """Return all targets, in alphabetical order."""
    return [find_target(name) for name in target_names()]


def precision_names() -> list[str]:
    """Return the precisions of all targets, each once."""
    return list(dict.fromkeys(name for target in all_targets() for name in target.precisions))


def devices() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the devices that artifacts can be verified on, each with its runtimes by target."""
    found: dict[str, dict[str, tuple[str, ...]]] = {HOST: {}}
    for target in all_targets():
        for device, runtimes in target.runtimes.items():
            found.setdefault(device, {})[target.name] = runtimes
    return found


def runtimes_for(format: str, device: str = HOST) -> tuple[str, ...]:
    """Return the runtimes that verify an artifact of this target on a device; empty where the
    device does not support the target.

    Raises:
        UserError: the device is unknown.
    """
    return devices()[choose("device", device, devices())].get(format, ())


def find_lowering(name: str) -> Callable[..., Any]:
    """Import and return the lowering function of a target, which loads its converter.

    Raises:
        UserError: no target has this name.
    """
    function: Callable[..., Any] = pkgutil.resolve_name(find_target(name).lowering)
    return function


def require_precisions(targets: list[str], precisions: list[str]) -> None:
    """Check that each target supports at least one of the precisions.

    Raises:
        UserError: a target supports none; the message gives the reason where it is known.
    """
    for target in map(find_target, targets):
        if set(target.precisions).intersection(precisions):
            continue
        reasons = [target.unsupported[name] for name in precisions if name in target.unsupported]
        why = f": {reasons[0]}" if len(reasons) == len(precisions) == 1 else ""
        raise UserError(
            f"target {target.name} does not support precision {' or '.join(precisions)}{why}",
            remedy=f"add --precision {' or '.join(target.precisions)}",
        )
