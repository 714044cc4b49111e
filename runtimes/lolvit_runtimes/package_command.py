"""`lolvit package`: add an export to an Android app."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lolvit.output import print_json, results
from lolvit.registry import choose_many

if TYPE_CHECKING:
    from lolvit_runtimes.android_assets import PackageResult

_PATH = click.Path(path_type=Path)
# Equal to android_assets.FORMATS, which is not imported because it loads pydantic.
_FORMATS = ("tflite", "onnx")
_KOTLIN = """\
import org.lolvit.AssetSource
import org.lolvit.Classifier
import org.lolvit.Photos

// off the main thread; the classifier is opened once, and closed at the end
val classifier = Classifier(AssetSource(context.assets, "{asset}"))
val photo = Photos.decode {{ context.contentResolver.openInputStream(uri)!! }}
val best = classifier.classify(photo).top.first()
println("${{best.label}}: ${{best.probability}}")
"""


@click.command()
@click.argument("folder", type=_PATH)
@click.option(
    "--android",
    "directory",
    type=_PATH,
    required=True,
    help="An Android module (with build.gradle.kts, build.gradle or src/main/AndroidManifest.xml),"
    " to write to its src/main/assets; or a folder named assets.",
)
@click.option(
    "--format", "formats", help="tflite, onnx or both; default: tflite if exported, else onnx."
)
@click.option(
    "--precision", help="fp32, fp16, int8, ...; default: the recommended one, or else the first."
)
@click.option("--labels", type=_PATH, help="A text file, one label a line, if the model has none.")
@click.option("--name", help="The asset folder's name; default: MODEL-HEIGHTxWIDTH.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def package(
    folder: Path,
    directory: Path,
    formats: str | None,
    precision: str | None,
    labels: Path | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Add the export FOLDER to an app, as assets/lolvit/NAME: manifest, artifacts and labels.

    Their sha256 is checked before and after copying. A previous export of the same model and size
    is replaced atomically; a folder that holds another model is an error.
    """
    from lolvit_runtimes.android_assets import PackageOptions
    from lolvit_runtimes.android_assets import package as write_assets

    picked = tuple(choose_many("format", formats, _FORMATS)) if formats is not None else None
    packaged = write_assets(folder, directory, PackageOptions(picked, precision, labels, name))
    if as_json:
        print_json(as_document(packaged))
    else:
        show(packaged)


def show(packaged: PackageResult) -> None:
    """Print the files with their sizes, and the code that uses them."""
    out = results()
    sizes = packaged.sizes()
    done = "replaced" if packaged.replaced else "written"
    out.print(f"{done}: {packaged.folder}, {sum(sizes.values()) / 1e6:.2f} MB")
    for name, size in sizes.items():
        out.print(f"    {name}: {size / 1e6:.2f} MB")
    for line in notes(packaged):
        out.print(line, style="yellow")
    out.print("\nIn the module's build.gradle.kts, so that the model loads faster:")
    out.print(f"\n{gradle(packaged)}\n")
    out.print("In Kotlin:\n")
    out.print(kotlin(packaged))


def kotlin(packaged: PackageResult) -> str:
    """Return Kotlin code that classifies a photo with the packaged model."""
    return _KOTLIN.format(asset=packaged.asset)


def gradle(packaged: PackageResult) -> str:
    """Return the setting for the module's build file."""
    quoted = ", ".join(f'"{suffix}"' for suffix in packaged.uncompressed)
    return f"android {{ androidResources {{ noCompress += listOf({quoted}) }} }}"


def notes(packaged: PackageResult) -> list[str]:
    """Return notes about untrained weights, missing labels and required runtime versions."""
    found = []
    if not packaged.manifest.weights.trained:
        found.append("weights are untrained: the app's predictions are meaningless")
    if not packaged.labelled:
        found.append("no labels: the app shows class numbers; add --labels FILE")
    for path, oldest in packaged.oldest_runtimes.items():
        found.append(
            f"{path} needs {oldest} or newer"
            if oldest
            else f"{path} does not record its minimum runtime"
        )
    return found


def as_document(packaged: PackageResult) -> dict[str, Any]:
    """Return the document that `--json` prints."""
    return {
        "folder": str(packaged.folder),
        "asset": packaged.asset,
        "model": packaged.manifest.model,
        "trained": packaged.manifest.weights.trained,
        "artifacts": [
            {
                "path": artifact.path,
                "format": artifact.format,
                "precision": artifact.precision,
                "sha256": artifact.sha256,
                "bytes": artifact.bytes,
                "oldest_runtime": packaged.oldest_runtimes[artifact.path],
            }
            for artifact in packaged.artifacts
        ],
        "files": packaged.sizes(),
        "no_compress": packaged.uncompressed,
        "replaced": packaged.replaced,
        "kotlin": kotlin(packaged),
        "notes": notes(packaged),
    }
