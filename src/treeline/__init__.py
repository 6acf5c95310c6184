"""Treeline ships tabular models from git: declare one, reproduce it, serve it."""

__version__ = "0.1.0"
