"""Classes of tests, declared as a user declares classes of their own: below `own`."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import own


def as_own(name: str) -> str:
    """Let a module that is imported be one of `src/own`, and return the path that leads to it."""
    path = f"{own.__name__}.{name.rpartition('.')[2]}"
    sys.modules[path] = sys.modules[name]
    return path


def load_as_own(file: Path) -> str:
    """Import a file as if it stood in `src/own`, and return the path that leads to it."""
    path = f"{own.__name__}.{file.stem}"
    spec = spec_from_file_location(path, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[path] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return path
