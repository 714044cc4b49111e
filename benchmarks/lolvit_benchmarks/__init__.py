"""Benchmarks: artifacts measured against each other, with the quality of each result.

Input are folders with a manifest; output is one JSON document (`results.document`), from which
tables and pages are made. Nothing here imports torch: models are exported in a child process.
"""

from lolvit import privacy as privacy  # before any module here loads ONNX Runtime
