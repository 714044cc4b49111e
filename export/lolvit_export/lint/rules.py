"""What a rule is: data about one limitation of an accelerator, and a pure function that finds it;
and the functions that the rules of several accelerators share, each with its own numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lolvit_export.lint.graph import Graph, Operation, Shape, Tensor

Severity = Literal["finding", "advice"]


@dataclass(frozen=True)
class Site:
    """An operation that a rule applies to, its name in the file, and why."""

    op: str
    place: str
    reason: str


Find = Callable[[Graph], Iterable[Site]]
Check = Callable[[Operation, Graph], str | None]


@dataclass(frozen=True)
class Rule:
    """One limitation.

    A `finding` leaves the accelerator, or is known to be computed wrong or slowly there. `advice`
    depends on values, devices or versions that the artifact does not hold.
    """

    id: str
    find: Find
    remedy: str
    source: str
    severity: Severity = "finding"


@dataclass(frozen=True)
class Finding:
    """A rule that applies to an operation of an artifact."""

    target: str
    rule: str
    severity: Severity
    op: str
    place: str
    reason: str
    remedy: str
    source: str


def on(kinds: Collection[str] | None, check: Check) -> Find:
    """Find the operations of those kinds (None: of every kind) for which `check` has a reason."""

    def find(graph: Graph) -> Iterator[Site]:
        for operation in graph.operations:
            if kinds is None or operation.kind in kinds:
                reason = check(operation, graph)
                if reason is not None:
                    yield Site(operation.kind, operation.place, reason)

    return find


def apply(target: str, rules: Iterable[Rule], graph: Graph) -> list[Finding]:
    """Return what each rule finds, in the order of the rules."""
    return [
        Finding(
            target, rule.id, rule.severity, site.op, site.place, site.reason, rule.remedy,
            rule.source,
        )
        for rule in rules
        for site in rule.find(graph)
    ]  # fmt: skip


def outside(supported: Collection[str], where: str) -> Find:
    """Find operations whose kind is not in an accelerator's list."""
    return on(None, lambda op, _: None if op.kind in supported else f"{where} has no {op.kind}")


def rank_above(most: int, kinds: Collection[str] | None = None) -> Find:
    """Find operations that read or write a tensor of more axes than an accelerator has."""

    def check(operation: Operation, _: Graph) -> str | None:
        worst = max(operation.tensors, key=lambda tensor: tensor.rank or 0, default=None)
        if worst is None or worst.rank is None or worst.rank <= most:
            return None
        return f"a tensor of rank {worst.rank}, {shape_text(worst.shape)}; at most {most} here"

    return on(kinds, check)


def computed_parameter(parameters: Mapping[str, tuple[int, ...]]) -> Find:
    """Find operations whose shape, axes or weights are computed and not stored in the file."""

    def check(operation: Operation, graph: Graph) -> str | None:
        for index in parameters[operation.kind]:
            if not graph.is_static(operation.input(index)):
                return f"its input {index} is computed at run time, it must be a constant"
        return None

    return on(parameters, check)


def dynamic_sizes(graph: Graph) -> Iterator[Site]:
    """Find inputs with a size that is known only at run time, or else the operations that are the
    first to write such a tensor."""
    for tensor in graph.inputs:
        if is_dynamic(tensor):
            yield Site("input", tensor.name, f"its shape {shape_text(tensor.shape)} is not fixed")
    for operation in graph.operations:
        if any(map(is_dynamic, operation.outputs)) and not any(map(is_dynamic, operation.given)):
            shape = next(t.shape for t in operation.outputs if is_dynamic(t))
            reason = f"the shape of its result, {shape_text(shape)}, depends on values"
            yield Site(operation.kind, operation.place, reason)


def is_dynamic(tensor: Tensor) -> bool:
    """Whether a size of a tensor is known only at run time; in a file a rank may be unknown too."""
    return tensor.shape is not None and None in tensor.shape


def element_type(refused: Collection[str], kinds: Collection[str] | None = None) -> Find:
    """Find operations that read or write a tensor of a type that an accelerator lacks."""

    def check(operation: Operation, _: Graph) -> str | None:
        found = sorted({tensor.dtype for tensor in operation.tensors} & set(refused))
        return f"it has {' and '.join(found)} elements" if found else None

    return on(kinds, check)


def shape_text(shape: Shape | None) -> str:
    """Return a shape as text, e.g. 1x3x?x256."""
    if shape is None:
        return "of unknown rank"
    return "x".join("?" if size is None else str(size) for size in shape) or "scalar"
