"""From a PyTorch model to artifacts that were run and compared before anyone sees them."""
