"""The LOLViT variants, in timm's manner. Importing this package registers them with timm."""

from lolvit.models.factory import create_model, macs_of, parameters_of
from lolvit.variants import VARIANTS

__all__ = ["VARIANTS", "create_model", "macs_of", "parameters_of"]
