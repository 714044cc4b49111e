"""What a user is told of an export in an app's assets: how to use it, what to set and to know."""

from __future__ import annotations

from typing import Any

from lolvit_runtimes.android_assets import Packaged

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


def kotlin(packaged: Packaged) -> str:
    """Return the Kotlin code that classifies a bitmap with what was packaged."""
    return _KOTLIN.format(asset=packaged.asset)


def gradle(packaged: Packaged) -> str:
    """Return what the module's build file has to say."""
    quoted = ", ".join(f'"{suffix}"' for suffix in packaged.uncompressed)
    return f"android {{ androidResources {{ noCompress += listOf({quoted}) }} }}"


def notes(packaged: Packaged) -> list[str]:
    """Return what the user should know of the model."""
    found = []
    if not packaged.manifest.weights.trained:
        found.append("weights are untrained: the app runs, its predictions mean nothing")
    if not packaged.labelled:
        found.append("no labels: the app names classes by number; add --labels FILE")
    for path, oldest in packaged.oldest_runtimes.items():
        found.append(f"{path} needs {oldest or 'a runtime that it does not tell'} or newer")
    return found


def as_document(packaged: Packaged) -> dict[str, Any]:
    """Return what `--json` prints."""
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
