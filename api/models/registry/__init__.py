"""TODO: a docstring."""
