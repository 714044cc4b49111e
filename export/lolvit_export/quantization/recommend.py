"""Which artifact of a runtime to ship: the fastest, as measured here."""

from __future__ import annotations

from collections.abc import Sequence

from lolvit.manifest import Artifact, Manifest

_KEY = ".speedup_vs_fp32"


def recommended(artifacts: Sequence[Artifact]) -> dict[str, str]:
    """Return for each runtime in which quantized artifacts were timed the path of the fastest one
    of its format, fp32 included. Where that is fp32, and it is not among the artifacts, nothing is
    recommended."""
    bases = {a.format: a.path for a in artifacts if a.precision == "fp32"}
    best: dict[str, tuple[float, str | None]] = {}
    for artifact in artifacts:
        for runtime, speed in _speeds(artifact).items():
            so_far = best.get(runtime, (1.0, bases.get(artifact.format)))
            best[runtime] = (speed, artifact.path) if speed > so_far[0] else so_far
    return {runtime: path for runtime, (_, path) in best.items() if path is not None}


def recommendations(manifest: Manifest) -> list[str]:
    """Return one line for each runtime with the artifact to use in it and the reason, and one with
    the most precise artifact of each format of which none was timed."""
    first: dict[str, str] = {}
    for artifact in sorted(manifest.artifacts, key=lambda a: a.precision != "fp32"):
        first.setdefault(artifact.format, artifact.path)
    by_path = {artifact.path: artifact for artifact in manifest.artifacts}
    timed = {by_path[path].format for path in manifest.recommended.values()}
    untimed = [a for a in manifest.artifacts if a.format not in timed]
    precise = {a.format: first[a.format] for a in untimed}
    choice = len(untimed) > len(precise)
    if not timed and not choice:
        return [f"recommended: {', '.join(precise.values())}, all that was written"]
    lines = []
    for runtime, path in manifest.recommended.items():
        speed = _speeds(by_path[path]).get(runtime)
        reason = (
            "no quantized artifact is faster here"
            if speed is None
            else _faster(by_path[path], speed)
        )
        lines.append(f"recommended in {runtime}: {path}, {reason}")
    if choice:
        names = ", ".join(precise.values())
        lines.append(f"recommended: {names}, the most precise (speed was not measured)")
    return lines


def _faster(artifact: Artifact, speed: float) -> str:
    size = artifact.measurements.get("size_fp32")
    smaller = f", {100 * size:.0f} % of its size" if size is not None else ""
    return f"speedup {speed:.2f} over fp32 on this machine{smaller}"


def slower_than_float(artifacts: Sequence[Artifact]) -> list[str]:
    """Return one line for each quantized artifact that is slower than its own fp32."""
    shipped = {a.format for a in artifacts if a.precision == "fp32"}
    return [
        f"{a.path} is slower than fp32 in {runtime} on this machine ({speed:.2f} times its speed):"
        f" {_advice(a, a.format in shipped)}"
        for a in artifacts
        for runtime, speed in _speeds(a).items()
        if speed < 1
    ]


def _advice(artifact: Artifact, has_fp32: bool) -> str:
    if has_fp32:
        return "ship fp32 for speed, this one for size"
    megabytes = artifact.bytes / 1e6
    return f"add --precision fp32 for speed, ship this one for its {megabytes:.1f} MB"


def _speeds(artifact: Artifact) -> dict[str, float]:
    """Return the speeds against fp32, by runtime."""
    return {
        name.removesuffix(_KEY): value
        for name, value in artifact.measurements.items()
        if name.endswith(_KEY)
    }
