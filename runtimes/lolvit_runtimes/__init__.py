"""The runtimes that run an artifact, behind one interface (`session.Session`), with preprocessing
of photos and validation of untrusted files."""

from lolvit import privacy as privacy  # before any module here loads ONNX Runtime
