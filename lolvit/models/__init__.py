"""LOLViT as a timm model. Importing this package registers the variants with timm."""

from lolvit.models.factory import create_model, macs_of, parameters_of
from lolvit.models.lolvit import Lolvit
from lolvit.variants import VARIANTS

__all__ = ["VARIANTS", "Lolvit", "create_model", "macs_of", "parameters_of"]
