"""Code stage: src/treeline → model/code.json, which changes when what the code does changes.

It runs once for all models, whenever a file of the package changes. What it writes has no comment,
no docstring and no layout, so that what follows it runs only when there is something to run for.
"""

from pathlib import Path

import treeline
from treeline.code import read_modules
from treeline.config.layout import CODE
from treeline.files import write_json


def write_code() -> str:
    """Write what each module of this package does and reaches; return how many there are."""
    modules = read_modules(Path(treeline.__file__).parent)
    write_json(CODE, {name: module.to_dict() for name, module in modules.items()})
    return f"{len(modules)} modules"
