"""The export formats: all that is known of one stands in its own file here, as data.

A target is one file with a `Target` named `TARGET`; `--to NAME` finds it by its file's name. The
files load no converter and no torch, so that the command line and `lolvit --help` may read them.
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
# In 8 bits, a low bound that only broken artifacts miss: what decides is the task's accuracy, or
# its agreement with eager PyTorch. EfficientNet-Lite0 trained on ImageNet, which is deployed in
# int8, has 10.7 to 11.7 dB by plain recipes; calibrated on black photos, LOLViT-XX has 9 on digits.
LEAST_INT8_DB = 9.5


@dataclass(frozen=True)
class PrecisionSpec:
    """One precision of a target.

    `snr_db` is the threshold of its gates, in dB; `coarse` has others by runtime, where a runtime's
    own arithmetic is coarser. With a `quantizer` ("module:Class") it is quantized from an artifact
    in the precision `base`; without, it is lowered. `timed`: whether the search for what stays in
    float goes by speed on this machine's processor.
    """

    snr_db: float
    quantizer: str | None = None
    base: str = "fp32"
    coarse: Mapping[str, float] = field(default_factory=dict)
    timed: bool = False


@dataclass(frozen=True)
class Target:
    """One export format.

    Args:
        lowering: "module:function", called with (graph, LoweringRequest) -> list[Lowered].
        suffix: of its files; `tag` stands before it.
        precisions: by name, in the order in which artifacts are written.
        runtimes: by device of `lolvit verify --device`, the runtimes that stand for it.
        cost: how long lowering and verifying take, against the other targets: of several, the most
            costly one runs in a process beside the others.
        container: the file format, where it is not the target's own.
        batches: whether it takes more than one image at a time.
        whole: nothing may stay in float, so that ranges are all that there is to search for.
        search_runtime: what candidates of the search run in, where the verifying runtime is too
            slow for it.
        lacks: why it has no such precision, for the message.
        forms: "module:function", called with (artifact, folder, socs), for all forms of an
            artifact: itself and what it is compiled to ahead of time.
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
    whole: bool = False
    search_runtime: str | None = None
    lacks: Mapping[str, str] = field(default_factory=dict)
    forms: str | None = None

    def file_name(self, precision: str) -> str:
        """Return the name of an artifact's file."""
        return f"model-{precision}{self.tag}{self.suffix}"

    @property
    def quantized(self) -> tuple[str, ...]:
        """The precisions that it is quantized to."""
        return tuple(name for name, spec in self.precisions.items() if spec.quantizer)

    @property
    def lowered(self) -> tuple[str, ...]:
        """The precisions that it is lowered to."""
        return tuple(name for name, spec in self.precisions.items() if not spec.quantizer)

    def to_lower(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """Return the precisions to lower to, for the wanted ones: what those are quantized from is
        among them."""
        bases = {self.precisions[name].base for name in self.quantized if name in wanted}
        return tuple(name for name in self.lowered if name in wanted or name in bases)

    def threshold(self, precision: str, runtime: str) -> float:
        """Return the SNR in dB that an artifact has to reach in a runtime."""
        spec = self.precisions[precision]
        return spec.coarse.get(runtime, spec.snr_db)


def target_names() -> list[str]:
    """Return the names of all targets, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


@functools.cache
def find_target(name: str) -> Target:
    """Return a target by its name.

    Raises:
        UserError: there is none of this name.
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
    """Return where artifacts can be verified: for each device the runtimes by target."""
    found: dict[str, dict[str, tuple[str, ...]]] = {HOST: {}}
    for target in all_targets():
        for device, runtimes in target.runtimes.items():
            found.setdefault(device, {})[target.name] = runtimes
    return found


def runtimes_for(format: str, device: str = HOST) -> tuple[str, ...]:
    """Return the runtimes that an artifact of this target is verified in on a device; none where
    the device does not take it.

    Raises:
        UserError: the device or the target is unknown.
    """
    return devices()[choose("device", device, devices())].get(format, ())


def imported(reference: str) -> Any:
    """Import what "module:attribute" names."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


def find_lowering(name: str) -> Callable[..., Any]:
    """Import and return the lowering function of a target, converter included."""
    function: Callable[..., Any] = imported(find_target(name).lowering)
    return function


def require_precisions(targets: list[str], precisions: list[str]) -> None:
    """Check that each target has one of the precisions at least.

    Raises:
        UserError: one has none.
    """
    for target in map(find_target, targets):
        if set(target.precisions).intersection(precisions):
            continue
        reasons = [target.lacks[name] for name in precisions if name in target.lacks]
        why = f": {reasons[0]}" if len(reasons) == len(precisions) == 1 else ""
        raise UserError(
            f"{target.name} has no {' or '.join(precisions)} form{why}",
            remedy=f"add --precision {' or '.join(target.precisions)}",
        )
