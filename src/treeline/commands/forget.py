"""A model → gone: its block of params.yaml, its stages in dvc.lock, its folders.

The folders are those below model/ and dataset/. DVC's cache keeps the data, git what was committed.
"""

import shutil
from pathlib import Path

from ruamel.yaml import YAML

from treeline.commands.declaration import digest_again
from treeline.config import PARAMS, Layout, read_params
from treeline.config.lines import end_of_entry
from treeline.delivery import locking
from treeline.errors import ConfigError
from treeline.files import write_text


def forget(model: str) -> str:
    """Remove a model, declared or not; return what was done. Raises ConfigError for a typo."""
    params = read_params()
    if model not in params.models and model not in leftovers():
        known = ", ".join([*params.models, *leftovers()])
        raise ConfigError(f"{model}: neither declared nor left over; there are {known}")
    if model == params.default:
        others = ", ".join(name for name in params.models if name != model)
        raise ConfigError(
            f"{PARAMS}: default: {model!r} answers POST /v1/predict; name another one there first"
            + (f": {others}" if others else ", or replace its block: it is the only model")
        )
    if model in params.models:
        _drop(PARAMS, "models", {model})
    locking.drop({model})
    for folder in (Layout(model).model, Layout(model).dataset, Layout(model).inputs):
        shutil.rmtree(folder, ignore_errors=True)
    digest_again()
    places = f"{PARAMS}, {locking.LOCK}, model/ and dataset/"
    return f"{model} is gone from {places}; git commit makes it so"


def leftovers() -> list[str]:
    """Return the names of models that have files or stages and are declared no more."""
    return locking.leftovers(read_params().models)


def _drop(path: Path, block: str, keys: set[str]) -> None:
    """Cut entries of a block out of a YAML file; every other line stays as it is written."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    entries = YAML().load(text)[block]
    for key in sorted(keys & set(entries), key=list(entries).index, reverse=True):
        start, column = entries.lc.key(key)
        del lines[start : end_of_entry(lines, start, column)]
    write_text(path, "".join(lines).rstrip("\n") + "\n")
