"""Which module holds each command: the command line looks here and imports on use."""

from __future__ import annotations

# name: (module:attribute of a click command, one-line help)
COMMANDS: dict[str, tuple[str, str]] = {
    "models": ("lolvit.models_command:models", "List the variants and their MobileViT baselines."),
    "export": ("lolvit_export.command:export", "Rewrite, lower and verify a model."),
    "train": ("lolvit_training.train_command:train", "Train a model, alone or by torchrun."),
    "verify": (
        "lolvit_export.verification.command:verify",
        "Compare artifacts with eager PyTorch.",
    ),
    "lint": ("lolvit_export.lint_command:lint", "Name operations that leave an accelerator."),
    "predict": ("lolvit_runtimes.predict_command:predict", "Classify photos with an artifact."),
    "package": ("lolvit_runtimes.package_command:package", "Put an export into an Android app."),
    "evaluate": ("lolvit_training.evaluate_command:evaluate", "Count accuracy, of artifacts too."),
    "accuracy": ("lolvit_training.accuracy_command:accuracy", "Train several models alike."),
    "save": ("lolvit_training.save_command:save", "Write weights, configuration, model card."),
    "push": ("lolvit_training.save_command:push", "Upload a saved folder to Hugging Face."),
    "bench": ("lolvit_benchmarks.cli.bench:bench", "Measure a model against its baseline."),
    "report": ("lolvit_benchmarks.cli.report:report", "Make a page from result files."),
    "compare": ("lolvit_benchmarks.cli.compare:compare", "Find regressions between results."),
    "devices": ("lolvit_benchmarks.cli.devices:devices", "List what can be measured here."),
    "browse": ("lolvit_benchmarks.cli.browse:browse", "Try artifacts in a browser."),
    "browser-setup": (
        "lolvit_benchmarks.backends.browser.setup_command:browser_setup",
        "Install what browsers need to run artifacts.",
    ),
    "arm64-setup": (
        "lolvit_runtimes.arm64_setup_command:arm64_setup",
        "Install what --device arm64 of verify needs.",
    ),
    "doctor": ("lolvit_runtimes.doctor_command:doctor", "Say what is missing and how to add it."),
}
