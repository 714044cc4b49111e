"""From a PyTorch model to artifacts that were run and compared before anyone sees them."""

from lolvit import privacy as privacy  # before any module here loads ONNX Runtime
