"""A model → gone: its block of params.yaml, its stages in dvc.lock, its folders.

The folders are those below model/ and dataset/. DVC's cache keeps the data, git what was committed.
"""

import shutil
from pathlib import Path

from ruamel.yaml import YAML

from treeline.config import PARAMS, Layout, read_params
from treeline.delivery import locking
from treeline.delivery.processes import run
from treeline.errors import ConfigError
from treeline.files import write_text

PIPELINE = Path("dvc.yaml")


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
    if PIPELINE.is_file():  # the stage follows params.yaml, which is another file now
        run("dvc", "repro", "--quiet", "digest")
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
        del lines[start : _end(lines, start, column)]
    write_text(path, "".join(lines).rstrip("\n") + "\n")


def _end(lines: list[str], start: int, column: int) -> int:
    """Return where the entry ends whose key stands at a line and a column, counted from 0.

    The comments in front of the next entry are about that one.
    """
    ends = (
        number
        for number, line in enumerate(lines[start + 1 :], start + 1)
        if _depth(line) <= column and not _says_nothing(line)
    )
    end = next(ends, len(lines))
    while _says_nothing(lines[end - 1]) and _depth(lines[end - 1]) <= column:
        end -= 1
    if end < len(lines) and not lines[end].strip():
        end += 1  # the blank line behind it goes along
    return end


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _says_nothing(line: str) -> bool:
    return line.strip()[:1] in ("", "#")
