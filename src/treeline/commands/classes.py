"""A class of one's own → a module to begin with in `src/own`, and what it keeps."""

import keyword
from pathlib import Path

from treeline.config import declared_model
from treeline.contract.features import Task
from treeline.errors import ConfigError
from treeline.files import write_text
from treeline.registry import OWN, objection, own_folder
from treeline.workbench.finding import Finding
from treeline.workbench.harness import examined
from treeline.workbench.templates import module_of

WIDTH = len("wrong")


def new_class(kind: str, path: str) -> Path:
    """Write the module of a new class `own.<module>.<Class>`; raises ConfigError."""
    top, *words = path.split(".")
    if top != OWN or len(words) != 2 or not all(map(_is_name, words)):
        raise ConfigError(f"{path}: name it own.<module>.<Class>, such as own.growth.Growth")
    module, name = words
    file = own_folder() / f"{module}.py"
    if file.exists():
        raise ConfigError(f"{file}: is there already; write the class into it, or name another")
    write_text(file, module_of(kind, name))
    return file


def check_class(path: str, *, model: str | None, task: Task | None) -> list[Finding]:
    """Return what a class keeps, on rows as a declared model has them, or on usual ones.

    Raises ConfigError for a class that no declaration may name.
    """
    if (reason := objection(path)) is not None:
        raise ConfigError(reason)
    if model is None:
        return examined(path, task=task)
    spec, _ = declared_model(model)
    return examined(path, features=spec.features, task=task or spec.target.task)


def lines(findings: list[Finding]) -> str:
    """Return a line for each finding."""
    return "\n".join(f"{each.word:<{WIDTH}}  {each.text}" for each in findings)


def _is_name(word: str) -> bool:
    return word.isidentifier() and not keyword.iskeyword(word)
