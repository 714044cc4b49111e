"""A gate of every kind that verification has."""

from __future__ import annotations

from lolvit.manifest import Gate


def passed(name: str, value: float, threshold: float) -> Gate:
    return Gate(name=name, value=value, threshold=threshold, passed=True)


ALL = [
    passed("ort.snr_db", 121.34, 100),
    passed("ort.boxes.snr_db", 51.8, 45),
    passed("ort.snr_change", -0.2, -1),
    passed("ort.worst_class_snr_db", 40.1, 3),
    passed("ort.mask.equal", 0.9991, 0.999),
    passed("ort.top1", 0.875, 0.875),
    passed("ort.matched_detections", 0.938, 0.85),
    passed("ort.pixel_agreement", 0.9995, 0.999),
    passed("ort.miou", 0.9993, 0.999),
    passed("ort.worst_class_recall", 0.84, 0.5),
    passed("ort.top1_change", -0.28, -1),
    passed("ort.ap_change", 0.19, -1),
    passed("ort.miou_change", 0.0, -1),
    passed("litert-gpu.on_gpu", 1.0, 1.0),
    passed("eager.fp16_headroom", 1300.0, 1.0),
]
