"""From a captured graph to an artifact: one module a target, which loads its converter."""
