"""Fuzzing targets: documents, as JSON, TOML or lines of text."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.fuzz.json_mutations import mutate_json
from tests.fuzz.target import Parse, Target
from tests.runtimes.mutations import damaged

if TYPE_CHECKING:
    from lolvit_data.annotations import AnnotatedDataset

TESTS = Path(__file__).parents[1]
PIXELS = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(30, 40, 3)


YOLO = {
    "a.txt": b"1 0.5 0.5 0.25 0.5\n0 0 0 0.5 0 0.25 1\n",
    "data.yaml": b"path: .\ntrain: .\nval: .\nnc: 2\nnames: {0: cat, 1: dog}\n",
}
VOC = (
    b"<annotation><size><width>40</width><height>30</height></size><object><name>cat</name>"
    b"<difficult>1</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>20.5</xmax><ymax>9</ymax>"
    b"</bndbox></object><object><name>dog</name></object></annotation>"
)


def _manifest(folder: Path) -> Parse:
    """What `lolvit predict` does with a manifest: read it, check the files that it names, prepare a
    photo by it, and describe its tasks' answer."""
    from PIL import Image

    from lolvit.errors import LolvitError
    from lolvit.manifest import Manifest, check_artifact, read_manifest, write_manifest
    from lolvit.tasks import find_task
    from lolvit_runtimes.preprocessing import to_input, to_pixels

    photo = Image.fromarray(PIXELS)
    (folder / "written").mkdir(exist_ok=True)
    (folder / "model-fp32.onnx").write_bytes(b"weights")

    def use(manifest: Manifest) -> None:
        manifest.failed_gates()
        find_task(manifest.task)
        for artifact in manifest.artifacts:
            try:
                check_artifact(folder, artifact)
            except LolvitError as error:
                assert "\n" not in error.line()
        pixels = to_pixels(photo, manifest.preprocessing)
        for artifact in manifest.artifacts:
            to_input(pixels, manifest.preprocessing, artifact.image)

    def parse(data: bytes) -> None:
        (folder / "manifest.json").write_bytes(data)
        manifest = read_manifest(folder)
        write_manifest(folder / "written", manifest)
        assert read_manifest(folder / "written") == manifest, "written and read, it is another"
        use(manifest)

    return parse


def _result(folder: Path) -> Parse:
    """What `lolvit report` and `lolvit compare` do with a result."""
    from rich.console import Console

    from lolvit_benchmarks.analysis.comparison import compare
    from lolvit_benchmarks.cli.compare import measurements_of
    from lolvit_benchmarks.reporting.table import as_markdown, show
    from lolvit_benchmarks.results.files import as_text, read_result

    path, written = folder / "result.json", folder / "written.json"

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        document = read_result(path)
        written.write_text(as_text(document))
        assert read_result(written) == document, "written and read, it is another"
        show(document, Console(file=io.StringIO(), width=120))
        as_markdown([document], [])
        measurements = measurements_of(document)
        compare(measurements, measurements, threshold=0.05)

    return parse


def _document(name: str, read: str) -> Any:
    """A document that one function of a path reads."""

    def opened(folder: Path) -> Parse:
        import pkgutil

        function, path = pkgutil.resolve_name(read), folder / name

        def parse(data: bytes) -> None:
            path.write_bytes(data)
            function(path)

        return parse

    return opened


def _labels(name: str) -> Callable[[Path], Parse]:
    def opened(folder: Path) -> Parse:
        from lolvit.labels import read_labels

        path = folder / name

        def parse(data: bytes) -> None:
            path.write_bytes(data)
            assert all("\n" not in label for label in read_labels(path, None) or ())
            read_labels(path, 3)

        return parse

    return opened


def _yolo(name: str) -> Callable[[Path], Parse]:
    """A data set of one image, of which one file is the input."""

    def opened(folder: Path) -> Parse:
        from PIL import Image

        from lolvit_data.annotated import open_annotated

        Image.fromarray(PIXELS).save(folder / "a.png")
        (folder / "a.txt").write_bytes(YOLO["a.txt"])
        (folder / "data.yaml").write_bytes(YOLO["data.yaml"])

        def parse(data: bytes) -> None:
            (folder / name).write_bytes(data)
            _check_objects(open_annotated(str(folder / "data.yaml"), "test", "detection"))

        return parse

    return opened


def _voc(folder: Path) -> Parse:
    from PIL import Image

    from lolvit_data import voc

    Image.fromarray(PIXELS).save(folder / "a.png")

    def parse(data: bytes) -> None:
        (folder / "a.xml").write_bytes(data)
        if voc.is_voc(folder):
            _check_objects(voc.load(folder, "train"))

    return parse


def _labelmap(folder: Path) -> Parse:
    """A data set of one image with a mask, whose map of colours is the input."""
    from PIL import Image

    from lolvit_data import voc_masks

    for name in ("JPEGImages", "SegmentationClass"):
        (folder / name).mkdir()
        Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(folder / name / "a.png")

    def parse(data: bytes) -> None:
        (folder / "labelmap.txt").write_bytes(data)
        found = voc_masks.load(folder, "train")
        assert found.mask(0).shape == (3, 4)
        assert found.colors is None or len(found.colors) == len(found.classes)

    return parse


def _check_objects(found: AnnotatedDataset) -> None:
    for index in range(len(found)):
        objects = found.objects(index)
        assert (objects.boxes >= 0).all() and (objects.areas > 0).all()
        assert (objects.classes < len(found.classes)).all()


def _recipe(folder: Path) -> Parse:
    from lolvit_training.recipe import read_recipe

    path = folder / "own.toml"

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        read_recipe(str(path), {"optimizer.lr": 1e-3})

    return parse


def _mutate_toml(data: bytes, random: Random) -> bytes:
    """Change values of a TOML document, or damage its text."""
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError):
        return damaged(data, random)
    if random.random() < 0.05:
        return b"epochs = " + b"[" * 5000
    if random.random() < 0.3:
        return damaged(data, random)
    changed = mutate_json(json.dumps(document, default=str).encode(), random)
    try:
        return _as_toml(json.loads(changed)).encode(errors="surrogatepass")
    except (ValueError, RecursionError):
        return damaged(data, random)


def _as_toml(document: Any) -> str:
    if not isinstance(document, dict):
        return "x = 1"
    return "\n".join(f"{json.dumps(key)} = {_inline(value)}" for key, value in document.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return json.dumps(value).replace("Infinity", "inf").replace("NaN", "nan")


def _fixtures(*names: str) -> Any:
    return lambda: [(TESTS / name).read_bytes() for name in names]


def _results() -> list[bytes]:
    from lolvit_benchmarks.results.files import as_text
    from tests.benchmarks.documents import document, result

    return [
        (TESTS / "benchmarks/results/schema-1.json").read_bytes(),
        as_text(document(result())).encode(),
    ]


def _recipes() -> list[bytes]:
    folder = resources.files("lolvit_training") / "recipes"
    return [entry.read_bytes() for entry in folder.iterdir() if entry.name.endswith(".toml")]


def _plans() -> list[bytes]:
    former = json.loads((TESTS / "export/data/plan-schema-1.json").read_bytes())
    current = json.dumps(former)
    renamed = {
        "times_fp32": "speedup_vs_fp32", "correct_biases": "bias_correction",
        "compensate_weights": "gptq", '"schema_version": 1': '"schema_version": 2',
    }  # fmt: skip
    for old, new in renamed.items():
        current = current.replace(old, new)
    return [json.dumps(former).encode(), current.encode()]


TIMM_CONFIG = {
    "architecture": "resnet18", "num_classes": 3, "label_names": ["a", "b", "c"],
    "pretrained_cfg": {"input_size": [3, 224, 224], "crop_pct": 0.875, "mean": [0.5, 0.5, 0.5],
                       "std": [0.5, 0.5, 0.5], "interpolation": "bicubic"},
}  # fmt: skip
ACCURACY = {
    "schema_version": 1, "data": "digits", "split": "test", "classes": ["0", "1"], "trained": True,
    "results": [
        {"model": "lolvit_xx", "target": "model-fp32.onnx", "sha256": "0" * 64, "runtime": "ort",
         "precision": "fp32", "agreement": 1.0, "snr_db": 120.0,
         "metrics": {"images": 4, "top1": 0.5, "top5": None, "loss": 0.7,
                     "per_class": [{"name": "0", "images": 2, "recall": 1, "precision": None}]}},
    ],
    "failures": [{"target": "model.tflite", "runtime": "litert", "error": "it failed"}],
}  # fmt: skip

COMPARISON = {
    "options": ["--size", "64"], "seeds": [0, 1],
    "rows": [
        {"data": "digits", "model": "lolvit_x", "top1": [0.9, 0.8], "mean": 0.85, "deviation": 0.07,
         "size": [64, 64], "images": 355, "low": 0.7, "high": 1.0},
    ],
    "differences": [
        {"data": "digits", "model": "lolvit_x", "against": "mobilevit_xs", "difference": -0.01,
         "low": -0.03, "high": 0.01, "over": "seeds and images", "seeds": 2, "images": 355,
         "significant": False},
    ],
}  # fmt: skip


def _verifications() -> list[bytes]:
    manifest = json.loads((TESTS / "fixtures/manifest-2.json").read_bytes())
    shared = ("model", "task", "size", "params", "macs", "artifacts", "rewrites")
    document = {key: manifest[key] for key in shared}
    document |= {"schema_version": 2, "device": "host", "folder": "out", "trained": True,
                 "failures": [{"artifact": "a", "error": "b"}]}  # fmt: skip
    former = json.loads((TESTS / "fixtures/manifest-1.json").read_bytes())
    return [json.dumps(document).encode(), json.dumps(former).encode()]


DOCUMENTS = (
    Target(
        "manifest", _manifest, _fixtures("fixtures/manifest-1.json", "fixtures/manifest-2.json"),
        mutate_json,
    ),
    Target("result", _result, _results, mutate_json),
    Target(
        "plan", _document("plan.json", "lolvit_export.quantization.plan:read_plan"), _plans,
        mutate_json,
    ),
    Target(
        "verification", _document("verify.json", "lolvit.verification:read_verification"),
        _verifications, mutate_json,
    ),
    Target(
        "accuracy", _document("accuracy.json", "lolvit.accuracy:read_accuracy"),
        lambda: [json.dumps(ACCURACY).encode(), json.dumps(COMPARISON).encode()], mutate_json,
    ),
    Target(
        "timm-config", _document("config.json", "lolvit.models.hub:read_timm_config"),
        lambda: [json.dumps(TIMM_CONFIG).encode()], mutate_json,
    ),
    Target(
        "labels", _labels("labels.txt"),
        lambda: [b"cat\ndog\nespresso\n", "é\u2028x\r\n".encode()],
    ),
    Target(
        "labels-table", _labels("labels.csv"),
        lambda: [b'id,name\r\n1,"a, ""b"""\r\n0,c\r\n2,d',
                 "sep=;\n0;a;;\n1;b\n2;c".encode("utf-16")],
    ),
    Target("yolo-data", _yolo("data.yaml"), lambda: [YOLO["data.yaml"]], instrumented=("yaml",)),
    Target("yolo-labels", _yolo("a.txt"), lambda: [YOLO["a.txt"]]),
    Target("voc", _voc, lambda: [VOC]),
    Target("labelmap", _labelmap, lambda: [b"# label:color_rgb\na:0,0,0::\nb:9,8,7::"]),
    Target("recipe", _recipe, _recipes, _mutate_toml, instrumented=("tomllib",)),
)  # fmt: skip
