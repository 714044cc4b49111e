"""LOLViT: a light hybrid vision backbone, and the vocabulary its tools share.

Importing this package loads no torch; `import lolvit.models` does, and registers the variants
with timm.
"""

__version__ = "0.1.0"
