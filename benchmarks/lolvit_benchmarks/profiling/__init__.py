"""Where a model's time goes, operation by operation."""
