"""What a rule is: data about one limitation of one target, and a pure function that finds it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from lolvit_export.lint.graph import Graph, Operation

Severity = Literal["finding", "advice"]


@dataclass(frozen=True)
class Site:
    """A place in a graph that a rule is about, and what is wrong there."""

    op: str
    place: str
    reason: str


Look = Callable[[Graph], Iterable[Site]]
Check = Callable[[Operation, Graph], str | None]


@dataclass(frozen=True)
class Rule:
    """One limitation.

    A `finding` leaves the accelerator, or is known to be computed wrong or slowly there. `advice`
    depends on values, devices or versions that the artifact does not tell.
    """

    id: str
    look: Look
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


def on(kinds: Collection[str] | None, check: Check) -> Look:
    """Look at each operation of those kinds (None: of every kind); `check` returns a reason."""

    def look(graph: Graph) -> Iterator[Site]:
        for operation in graph.operations:
            if kinds is None or operation.kind in kinds:
                reason = check(operation, graph)
                if reason is not None:
                    yield Site(operation.kind, operation.place, reason)

    return look


def apply(target: str, rules: Iterable[Rule], graph: Graph) -> list[Finding]:
    """Return what each rule finds, in the order of the rules."""
    return [
        Finding(
            target, rule.id, rule.severity, site.op, site.place, site.reason, rule.remedy,
            rule.source,
        )
        for rule in rules
        for site in rule.look(graph)
    ]  # fmt: skip
