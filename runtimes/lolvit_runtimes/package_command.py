"""`lolvit package`: add an export to an Android or iOS app."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lolvit.output import print_json, results
from lolvit.registry import choose_many
from lolvit.text import kotlin_string

if TYPE_CHECKING:
    from lolvit_runtimes.app_models import PackageOptions, PackageResult

_PATH = click.Path(path_type=Path)
# Equal to the formats of android_assets.ANDROID and ios_package.IOS, which are not imported because
# they load pydantic.
_FORMATS = {"android": ("tflite", "onnx"), "ios": ("coreml", "coreai")}
_KOTLIN = """\
import org.lolvit.AssetSource
import org.lolvit.{predictor}
import org.lolvit.Photos

// in a coroutine, also of the main thread; the model is opened once, and closed at the end
val model = {predictor}(AssetSource(context.assets, {asset}))
val photo = Photos.load {{ context.contentResolver.openInputStream(uri)!! }}
val prediction = model.predict(photo).prediction
{use}
"""
_SWIFT = """\
import LOLViT
import LOLViTCoreAI
import LOLViTCoreML
import LOLViTModels

// the model is opened once, and never works on the main thread
let source = ModelSource(folder: LOLViTModels.folder.appendingPathComponent("{name}"))
let model = try {actor}(source, engines: Engines([CoreMLKind(), CoreAIKind()]))
let prediction = try await model.predict(Photo(data: data)).prediction
{use}"""
# By task: the actor, and what its prediction has.
_SWIFT_TASKS = {
    "classification": ("Classifier", "print(prediction.top[0].label)\n"),
    "detection": (
        "Detector",
        "for object in prediction.objects { print(object.label, object.box) }\n",
    ),
    "segmentation": (
        "Segmenter",
        "for part in prediction.shares { print(part.label, part.share) }\n",
    ),
}
# By task: the class, and what its prediction has.
_KOTLIN_TASKS = {
    "classification": (
        "Classifier", 'prediction.top.forEach { println("${it.label}: ${it.probability}") }'
    ),
    "detection": (
        "Detector", 'prediction.objects.forEach { println("${it.label}: ${it.score} ${it.box}") }'
    ),
    "segmentation": (
        "Segmenter", 'prediction.shares.forEach { println("${it.label}: ${it.share}") }'
    ),
}  # fmt: skip


@click.command()
@click.argument("folder", type=_PATH)
@click.option(
    "--android",
    type=_PATH,
    help="An Android module (with build.gradle.kts, build.gradle or src/main/AndroidManifest.xml),"
    " to write to its src/main/assets; or a folder named assets.",
)
@click.option(
    "--ios",
    type=_PATH,
    help="The folder of an iOS app (with an .xcodeproj, .xcworkspace or Package.swift), to write"
    " the Swift package LOLViTModels into it.",
)
@click.option(
    "--format",
    "formats",
    help="Android: tflite, onnx or both; iOS: coreml, coreai or both; default: the first of these"
    " that is exported.",
)
@click.option(
    "--precision",
    help="fp32, fp16, int8, ...; default: the recommended one, or else fp16 on iOS, the first on"
    " Android.",
)
@click.option("--labels", type=_PATH, help="A text file, one label a line, if the model has none.")
@click.option("--name", help="The model folder's name; default: MODEL-HEIGHTxWIDTH.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def package(
    folder: Path,
    android: Path | None,
    ios: Path | None,
    formats: str | None,
    precision: str | None,
    labels: Path | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Add the export FOLDER to an app, as lolvit/NAME: manifest, artifacts and labels.

    Their sha256 is checked before and after copying. A previous export of the same model and size
    is replaced atomically; a folder that holds another model is an error.
    """
    from lolvit_runtimes.app_models import PackageOptions

    apps = given_apps(android, ios)
    if len(apps) != 1:
        raise click.UsageError("give either --android DIR or --ios DIR")
    ((platform, app),) = apps.items()
    known = _FORMATS[platform]
    picked = tuple(choose_many("format", formats, known)) if formats is not None else None
    packaged = add_to_app(platform, app, folder, PackageOptions(picked, precision, labels, name))
    if as_json:
        print_json(as_document(packaged))
    else:
        show(packaged)


def given_apps(android: Path | None, ios: Path | None) -> dict[str, Path]:
    """Return the folders of the apps that are given, by platform."""
    return {
        platform: app for platform, app in (("android", android), ("ios", ios)) if app is not None
    }


def add_to_app(platform: str, app: Path, folder: Path, options: PackageOptions) -> PackageResult:
    """Add the export at `folder` to the app of a platform, `android` or `ios`."""
    if platform == "android":
        from lolvit_runtimes.android_assets import package as add_to_android

        return add_to_android(folder, app, options)
    from lolvit_runtimes.ios_package import package as add_to_ios

    return add_to_ios(folder, app, options)


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
    for title, code in instructions(packaged):
        out.print(f"\n{title}\n")
        out.print(code, soft_wrap=True)  # a line that is broken would not compile


def instructions(packaged: PackageResult) -> list[tuple[str, str]]:
    """Return what is left to do, each with its title: settings and code."""
    if packaged.platform.name == "iOS":
        return [
            (
                "In Xcode, the first time: File > Add Package Dependencies > Add Local, for both:",
                f"{swift_package(packaged)}\nios_demo/LOLViT of this repository",
            ),
            ("In Swift:", swift(packaged)),
        ]
    return [
        ("In the module's build.gradle.kts, so that the model loads faster:", gradle(packaged)),
        ("In Kotlin:", kotlin(packaged)),
    ]


def kotlin(packaged: PackageResult) -> str:
    """Return Kotlin code that predicts for a photo with the packaged model."""
    predictor, use = _KOTLIN_TASKS[packaged.manifest.task]
    return _KOTLIN.format(asset=kotlin_string(packaged.asset), predictor=predictor, use=use)


def gradle(packaged: PackageResult) -> str:
    """Return the setting for the module's build file."""
    quoted = ", ".join(map(kotlin_string, uncompressed(packaged)))
    return f"android {{ androidResources {{ noCompress += listOf({quoted}) }} }}"


def uncompressed(packaged: PackageResult) -> list[str]:
    """Return the file suffixes that an APK stores uncompressed, so that the app can memory-map
    them."""
    return sorted({Path(artifact.path).suffix[1:] for artifact in packaged.artifacts})


def swift(packaged: PackageResult) -> str:
    """Return Swift code that predicts with the packaged model."""
    actor, use = _SWIFT_TASKS[packaged.manifest.task]
    return _SWIFT.format(name=packaged.folder.name, actor=actor, use=use)


def swift_package(packaged: PackageResult) -> Path:
    """Return the folder of the Swift package that holds the model."""
    return packaged.folder.parents[3]


def notes(packaged: PackageResult) -> list[str]:
    """Return notes about untrained weights, missing labels and required runtime versions."""
    from lolvit_runtimes.self_check import NAME

    found = []
    if not packaged.manifest.weights.trained:
        found.append("weights are untrained: the app's predictions are meaningless")
    if not packaged.labelled:
        found.append("no labels: the app shows class numbers; add --labels FILE")
    if not (packaged.folder / NAME).is_file():
        found.append(
            "no self-check: an artifact's runtime, or scikit-image, is not installed here, so the"
            " app will not compare its first outputs"
        )
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
        "replaced": packaged.replaced,
        **_platform_document(packaged),
        "notes": notes(packaged),
    }


def _platform_document(packaged: PackageResult) -> dict[str, Any]:
    if packaged.platform.name == "iOS":
        return {"swift_package": str(swift_package(packaged)), "swift": swift(packaged)}
    return {"no_compress": uncompressed(packaged), "kotlin": kotlin(packaged)}
