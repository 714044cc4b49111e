"""Training by timm's parts, and evaluation of checkpoints and artifacts."""
