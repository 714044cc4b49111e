"""The generated part of docs/targets.md, from the targets' files and the tables of runtimes and
devices: `python docs/site/lolvit_site/targets.py` writes it anew. A test compares the two."""

from __future__ import annotations

from pathlib import Path

from lolvit.files import write_atomic
from lolvit.tasks import task_names
from lolvit_benchmarks.backends.registry import DEVICES
from lolvit_export.targets import Target, all_targets
from lolvit_runtimes.table import RUNTIMES

PAGE = Path(__file__).parents[2] / "targets.md"
BEGIN = "<!-- made by: python docs/site/lolvit_site/targets.py -->\n"
END = "<!-- end of what was made -->\n"


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def precision(target: Target, name: str) -> str:
    """Return a precision with the SNR threshold of each runtime, and what it is quantized from."""
    spec = target.precisions[name]
    others = "".join(f"; {r} {db:g}" for r, db in spec.snr_db_by_runtime.items())
    made = f", from {spec.base}" if spec.quantizer else ""
    return f"`{name}` ({spec.snr_db:g} dB{others}{made})"


def targets_table() -> str:
    """Return the table of targets."""
    rows = []
    for target in all_targets():
        layers = "none" if target.fully_quantized else "by measurement"
        rows.append([
            f"`{target.name}`",
            f"`{target.file_name(next(iter(target.precisions)))}`",
            ", ".join(precision(target, name) for name in target.precisions),
            layers if target.quantized else "–",
            "any" if target.batches else "1",
        ])  # fmt: skip
    headings = ["target", "file", "precisions (threshold of the SNR)", "layers left in float"]
    return table([*headings, "batch"], rows)


def runtimes_table() -> str:
    """Return the table of runtimes: what opens what, where it verifies and is measured."""
    rows = []
    for name, entry in RUNTIMES.items():
        verifies = [
            f"`{device}`"
            for target in all_targets()
            for device, runtimes in target.runtimes.items()
            if name in runtimes
        ]
        measured = [f"`{d}`" for d, device in DEVICES.items() if name in device.runtimes]
        rows.append([
            f"`{name}`", entry.note, f"`{entry.extra}`", f"`{entry.format}`",
            ", ".join(dict.fromkeys(verifies)) or "–", ", ".join(measured) or "–",
        ])  # fmt: skip
    web = [(n, f) for n, f in DEVICES["browser"].runtimes.items() if n not in RUNTIMES]
    rows += [[f"`{n}`", "in a browser", "–", f"`{f}`", "–", "`browser`"] for n, f in web]
    headings = ["runtime", "what it is", "extra", "opens", "`verify --device`", "`bench --device`"]
    return table(headings, rows)


def generated() -> str:
    """Return the generated part of the page."""
    tasks = ", ".join(f"`{name}`" for name in task_names())
    return (
        f"Every target takes every task: {tasks}.\n\n{targets_table()}\n"
        f"### Runtimes and devices\n\n{runtimes_table()}"
    )


def with_generated(page: str) -> str:
    """Return a page with its generated part as the code has it now."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{generated()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    write_atomic(PAGE, with_generated(PAGE.read_text()).encode())
