"""Artifacts compared with eager PyTorch in their runtimes."""
