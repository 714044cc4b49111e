"""The commands, by what a user wants to do: data alone, so that listing them imports none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CommandEntry:
    """Where a command is (`module:attribute` of a click command), and its line in `--help`."""

    target: str
    help_line: str


Section = dict[str, CommandEntry]

# Sections and commands stand in the order in which `--help` lists them.
SECTIONS: dict[str, Section] = {
    "Export and verify": {
        "models": CommandEntry(
            "lolvit.models_command:models",
            "List the model variants and their baselines.",
        ),
        "export": CommandEntry(
            "lolvit_export.command:export",
            "Convert a model to ONNX, TFLite or Core ML; quantize; verify.",
        ),
        "verify": CommandEntry(
            "lolvit_export.verification.command:verify",
            "Compare artifacts with eager PyTorch, in the runtimes of a device.",
        ),
        "lint": CommandEntry(
            "lolvit_export.lint_command:lint",
            "Find operators that an accelerator does not support.",
        ),
    },
    "Use an artifact": {
        "predict": CommandEntry(
            "lolvit_runtimes.predict_command:predict",
            "Run inference on images with an exported artifact.",
        ),
        "browse": CommandEntry(
            "lolvit_benchmarks.cli.browse:browse",
            "Run inference in a web browser, on images or the camera.",
        ),
        "package": CommandEntry(
            "lolvit_runtimes.package_command:package",
            "Add an exported artifact to an Android or iOS app.",
        ),
    },
    "Measure": {
        "devices": CommandEntry(
            "lolvit_benchmarks.cli.devices:devices",
            "List the devices and runtimes that can be benchmarked from here.",
        ),
        "bench": CommandEntry(
            "lolvit_benchmarks.cli.bench:bench",
            "Benchmark a model's latency against a baseline.",
        ),
        "compare": CommandEntry(
            "lolvit_benchmarks.cli.compare:compare",
            "Check benchmark results for regressions.",
        ),
        "report": CommandEntry(
            "lolvit_benchmarks.cli.report:report",
            "Write an HTML report of results.",
        ),
    },
    "Train and evaluate": {
        "train": CommandEntry(
            "lolvit_training.train_command:train",
            "Train or fine-tune a model, on one process or by torchrun.",
        ),
        "evaluate": CommandEntry(
            "lolvit_training.evaluate_command:evaluate",
            "Evaluate the accuracy of a checkpoint or of exported artifacts.",
        ),
        "accuracy": CommandEntry(
            "lolvit_training.accuracy_command:accuracy",
            "Compare the accuracy of models trained with the same recipe.",
        ),
        "save": CommandEntry(
            "lolvit_training.save_command:save",
            "Save a checkpoint as weights, configuration and model card.",
        ),
        "push": CommandEntry(
            "lolvit_training.save_command:push",
            "Upload a saved model to the Hugging Face Hub.",
        ),
    },
    "Set up": {
        "doctor": CommandEntry(
            "lolvit_runtimes.doctor_command:doctor",
            "Show what is installed, what is missing and how to install it.",
        ),
        "setup": CommandEntry(
            "lolvit.setup_command:setup",
            "Install what pip cannot: browser, arm64, swift or system packages.",
        ),
    },
}

SETUP_SECTIONS: dict[str, Section] = {
    "Commands": {
        "browser": CommandEntry(
            "lolvit_benchmarks.backends.browser.setup_command:browser",
            "Install onnxruntime-web and LiteRT.js for web browsers.",
        ),
        "arm64": CommandEntry(
            "lolvit_runtimes.arm64_setup_command:arm64",
            "Install runtimes for emulated 64-bit Arm processors.",
        ),
        "swift": CommandEntry(
            "lolvit.system.swift_command:swift",
            "Install Swift, which tests of the iOS library need.",
        ),
        "system": CommandEntry(
            "lolvit.system.command:system",
            "Install Debian packages: adb, Chromium, qemu and others.",
        ),
    },
}

# Former names, which still work: each is now a command of `lolvit setup`.
HIDDEN: Section = {
    "browser-setup": SETUP_SECTIONS["Commands"]["browser"],
    "arm64-setup": SETUP_SECTIONS["Commands"]["arm64"],
}


def commands_of(sections: dict[str, Section]) -> Section:
    """Return the commands of all sections, in their order."""
    return {name: entry for section in sections.values() for name, entry in section.items()}


COMMANDS = commands_of(SECTIONS)
