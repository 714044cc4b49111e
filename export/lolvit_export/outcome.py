"""What `lolvit export` and `lolvit verify` print: on a terminal what the gates say, and what to do
next; elsewhere tables of gates under their names, as scripts read them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lolvit.output import narrow, print_indented, print_table, results
from lolvit.variants import HEAD_TASKS, VARIANTS
from lolvit_export.quantization.recommend import recommendations, slower_than_float
from lolvit_export.targets import find_target
from lolvit_export.verification.words import advice, runtimes_of, sentences, verdict

if TYPE_CHECKING:
    from rich.console import Console

    from lolvit.manifest import Artifact, Manifest
    from lolvit_export.request import ExportResult

UNTRAINED = (
    "weights are untrained: the artifacts can be benchmarked, their predictions are meaningless"
)


def show(exported: ExportResult) -> None:
    """Print the artifacts with their gates, the rewrites, and what is recommended."""
    out, manifest = results(), exported.manifest
    print_artifacts(manifest, exported.withheld, out)
    if out.is_terminal:
        _print_rewrites_in_short(manifest, out)
    else:
        _print_rewrites(manifest, out)
    if not manifest.weights.trained:
        print_untrained(manifest.artifacts, out)
    for note in exported.notes:
        out.print(note, style="yellow")
    if not out.is_terminal:
        for runtime, path in manifest.recommended.items():
            out.print(f"fastest in {runtime} on this machine: {path}")
    for line in slower_than_float(manifest.artifacts):
        out.print(line, style="yellow")
    for name in exported.suppressed:
        checked = (
            "" if name.endswith(".onnx") else "; not run: Core ML runs pipelines on Macs alone"
        )
        out.print(f"with non-maximum suppression: {name}{checked}")
    if manifest.artifacts:
        out.print(f"written to {exported.folder}")
    if out.is_terminal and manifest.artifacts:
        _print_next(exported, out)


def print_artifacts(manifest: Manifest, withheld: Sequence[Artifact], out: Console) -> None:
    """Print artifacts with their gates: on a terminal one row each, then what the gates say, with
    the next thing to try for those that were withheld."""
    artifacts = (*manifest.artifacts, *withheld)
    if not out.is_terminal:
        print_table(gate_table(artifacts), out)
        for artifact in withheld:
            tried = _to_try(artifact, manifest)
            out.print(f"{artifact.path}: to try: {tried}", soft_wrap=True)
        return
    print_table(_artifact_table(artifacts, withheld), out)
    for artifact in artifacts:
        failed = artifact.failed_gates()
        out.print(artifact.path, style="red" if failed else "green")
        for sentence in sentences(artifact):
            print_indented(sentence, out)
        if artifact in withheld:
            print_indented(f"to try: {_to_try(artifact, manifest)}", out)


def _to_try(artifact: Artifact, manifest: Manifest) -> str:
    quantized = artifact.precision in find_target(artifact.format).quantized
    return advice(artifact, quantized=quantized, trained=manifest.weights.trained)


def _artifact_table(artifacts: Sequence[Artifact], withheld: Sequence[Artifact]) -> Any:
    """Return a table of one row for each artifact."""
    from rich.table import Table
    from rich.text import Text

    table = narrow(Table())
    for heading in ("artifact", "MB", "verified in", "result"):
        table.add_column(heading, justify="right" if heading == "MB" else "left")
    for artifact in artifacts:
        word = verdict(artifact, withheld)
        table.add_row(
            artifact.path,
            f"{artifact.bytes / 1e6:.2f}",
            ", ".join(runtimes_of(artifact)),
            Text(word, "green" if word == "passed" else "red"),
        )
    return table


def _print_rewrites(manifest: Manifest, out: Console) -> None:
    """Print the rewrites that found something; the manifest lists the others too."""
    for record in manifest.rewrites:
        failures = record.match_failures
        if not record.applied and not failures:
            continue
        failed = f", match failed {len(failures)} times" if failures else ""
        out.print(f"rewrite {record.name}: applied {record.applied} times{failed}")
        for reason in sorted({line.split(": ", 1)[-1] for line in record.match_failures}):
            out.print(f"    match failure: {reason}")


def _print_rewrites_in_short(manifest: Manifest, out: Console) -> None:
    applied = [record.applied for record in manifest.rewrites if record.applied]
    if not manifest.rewrites:
        return
    failures = sum(len(record.match_failures) for record in manifest.rewrites)
    failed = f", match failed {failures} times" if failures else ""
    places = f"{sum(applied)} place{'s' * (sum(applied) != 1)}"
    done = f"{len(applied)} applied at {places}" if applied else "none applied"
    out.print(f"rewrites: {done}{failed} (listed in manifest.json)")


def _print_next(exported: ExportResult, out: Console) -> None:
    """Print which artifact is recommended and why, and the commands that use the export."""
    for line in recommendations(exported.manifest):
        out.print(line, style="bold")
    out.print("next:")
    for command in next_commands(exported.folder, exported.manifest):
        out.print(f"    {command}", soft_wrap=True)  # to be copied as one line


def next_commands(folder: Path, manifest: Manifest) -> list[str]:
    """Return the commands that use an export: predict and package where its weights are trained,
    bench against the variant's baseline."""
    from lolvit_runtimes.android_assets import ANDROID
    from lolvit_runtimes.ios_package import IOS

    where, size = shlex.quote(str(folder)), "x".join(map(str, manifest.size))
    variant = VARIANTS.get(manifest.model)
    baseline = variant.baseline if variant is not None else "mobilevit_xs"
    head = f" --task {manifest.task}" if manifest.task in HEAD_TASKS else ""
    commands = [f"lolvit predict {where} photo.jpg"] if manifest.weights.trained else []
    if manifest.task in (*HEAD_TASKS, "classification"):
        commands.append(f"lolvit bench {where} --against {baseline} --size {size}{head}")
    formats = {artifact.format for artifact in manifest.artifacts}
    for option, platform in (("android", ANDROID), ("ios", IOS)):
        fitting = manifest.task in platform.tasks and formats & set(platform.formats)
        if fitting and manifest.weights.trained:
            commands.append(f"lolvit package {where} --{option} MyApp")
    return commands


def print_untrained(artifacts: Sequence[Artifact], out: Console) -> None:
    """Print that the weights are untrained, and the agreement, which is not a gate for them."""
    out.print(UNTRAINED, style="yellow")
    for artifact in artifacts:
        for name, share in artifact.measurements.items():
            runtime, _, what = name.rpartition(".")
            if what.endswith("_agreement"):
                out.print(
                    f"{artifact.path} in {runtime}: agrees with eager on {share:.0%} of the"
                    " images (not a gate: with random weights it is a matter of chance)",
                    style="yellow",
                )


def gate_table(artifacts: Sequence[Artifact]) -> Any:
    """Return a table of each artifact's gates beside their thresholds."""
    from rich.table import Table

    table = Table()
    for heading in ("artifact", "MB", "gate", "value", "threshold", ""):
        table.add_column(
            heading, justify="right" if heading in ("MB", "value", "threshold") else "left"
        )
    for artifact in artifacts:
        name, size = artifact.path, f"{artifact.bytes / 1e6:.2f}"
        for gate in artifact.gates:
            verdict = "passed" if gate.passed else "FAILED"
            table.add_row(
                name, size, gate.name, f"{gate.value:.4g}", f"{gate.threshold:g}", verdict
            )
            name = size = ""
        for figure, value in artifact.measurements.items():
            table.add_row("", "", figure, f"{value:.4g}", "", "")
    return table
