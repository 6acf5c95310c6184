"""A model → the same under another name: its key in params.yaml, its rows, its stages.

What the stages make bears the name, so it is made again; rows that a database gave bit by bit move
along. Answers in a prediction log keep the name that they were given under.
"""

import shutil

from ruamel.yaml import YAML

from treeline.commands.declaration import declared_by, digest_again
from treeline.config import PARAMS, Layout, read_params
from treeline.contract.texts import RULE, is_slug
from treeline.delivery import locking
from treeline.errors import ConfigError

QUOTES = "'\""


def rename(old: str, new: str) -> str:
    """Give a model another name; return what was done. Raises ConfigError, and changes nothing."""
    params = read_params()
    taken = {*params.models, *locking.leftovers(params.models)}
    if old not in params.models:
        raise ConfigError(f"{old}: not declared; declared are {', '.join(params.models)}")
    if not is_slug(new):
        raise ConfigError(f"{new!r}: {RULE}")
    if new in taken or Layout(new).dataset.exists() or Layout(new).model.exists():
        raise ConfigError(f"{new}: there is such a model, or what is left of one: choose another")
    text = renamed(PARAMS.read_bytes().decode("utf-8"), old, new)
    after = declared_by(text, PARAMS)
    expected = {new if name == old else name: spec for name, spec in params.models.items()}
    default = new if params.default == old else params.default
    if dict(after.models) != expected or after.default != default:
        raise ConfigError(f"{PARAMS}: is not read as it is meant after the change: edit it by hand")
    before, moved = Layout(old), Layout(new)
    if before.dataset.exists():
        before.dataset.rename(moved.dataset)
    PARAMS.write_bytes(text.encode())
    locking.drop({old})
    for folder in (before.model, before.inputs):
        shutil.rmtree(folder, ignore_errors=True)
    digest_again()
    return (
        f"{old} is {new} in {PARAMS}; its rows lie in {moved.dataset}. What bears its name is made "
        f"again:\n  make train MODEL={new}"
    )


def renamed(text: str, old: str, new: str) -> str:
    """Return a declaration with another key for a model, and as its default where it was that.

    Every other character stays.
    """
    document = YAML().load(text)
    places = [document["models"].lc.key(old)]
    if document["default"] == old:
        places.append(document.lc.value("default"))
    lines = text.splitlines(keepends=True)
    for number, column in places:
        line = lines[number]
        quote = line[column] if line[column] in QUOTES else ""
        end = column + len(old) + 2 * len(quote)
        if line[column:end] != f"{quote}{old}{quote}":
            raise ConfigError(f"{PARAMS}, line {number + 1}: {old!r} is spelt in a way of its own")
        lines[number] = f"{line[:column]}{quote}{new}{quote}{line[end:]}"
    return "".join(lines)
