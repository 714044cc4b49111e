"""The panel on which the thresholds of the gates are chosen: artifacts of trained networks, which
must pass, and the same artifacts with one fault each, which must be caught.

    python -m lolvit_export.verification.panel --out out/panel          # make panel

    networks.py    trained networks, with the images that they are quantized on
    faults.py      faults of a model: what a wrong conversion would compute
    quant_faults.py faults of a quantized ONNX artifact: its scales, zero points and weights
    manifest_faults.py faults of a manifest: preprocessing and labels
    run.py         lower, quantize and verify them, and the table
"""
