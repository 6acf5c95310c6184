"""`params.yaml`, a dictionary or a frame → declared models, by name."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from treeline.commands.add import typed
from treeline.config import PARAMS, declared_model, read_params
from treeline.config.models import ModelSpec
from treeline.config.problems import problems
from treeline.config.sources import FILES
from treeline.contract.texts import RULE, is_slug, slug_of, text_of
from treeline.drafting.choices import draft as drafted
from treeline.drafting.columns import read_columns
from treeline.drafting.hints import Hints
from treeline.errors import ConfigError, DataError

HINTS = TypeAdapter(Hints)


@dataclass(frozen=True)
class Declaration:
    """A declared model: its name, and its block as one frozen spec."""

    name: str
    spec: ModelSpec

    @classmethod
    def of(cls, name: str, block: Mapping[str, Any]) -> Self:
        """Return what a block declares, as it would stand in `params.yaml`; raises ConfigError."""
        if not is_slug(name):
            raise ConfigError(f"{name!r} names no model: {RULE}; such as {slug_of(name)!r}")
        try:
            return cls(name, ModelSpec.model_validate(dict(block)))
        except ValidationError as error:
            lines = [f"models.{name}.{problem}" for problem in problems(error, block)]
            raise ConfigError("\n".join(lines)) from None

    @property
    def block(self) -> dict[str, Any]:
        """What is declared, as plain data, without what has its usual value."""
        return self.spec.model_dump(by_alias=True, exclude_defaults=True)

    def changed(self, **keys: Any) -> "Declaration":
        """Return the same model with other values of some keys of its block; raises ConfigError.

        A value takes the whole place of the one before: `changed(search={"folds": 3})`.
        """
        return Declaration.of(self.name, {**self.block, **keys})

    def __repr__(self) -> str:
        target = self.spec.target
        return (
            f"<Declaration {self.name}: {target.name} ({target.task}) by {len(self.spec.features)} "
            f"features, {len(self.spec.candidates)} candidates>"
        )


def read(path: str | Path = PARAMS) -> dict[str, Declaration]:
    """Return every model that a file declares, by name; raises ConfigError."""
    return {name: Declaration(name, spec) for name, spec in read_params(Path(path)).models.items()}


def declared(name: str, path: str | Path = PARAMS) -> Declaration:
    """Return one model of a file; raises ConfigError, which names those that are declared."""
    return Declaration(name, declared_model(name, Path(path))[0])


def draft(frame: pd.DataFrame, target: str, *, name: str = "draft", **hints: Any) -> Declaration:
    """Return a draft of a model that predicts one column of a frame, as `treeline add` drafts it.

    `frame` has a column per feature, of any type, and the target; `hints` are those of
    `treeline.drafting.hints.Hints`. The source that it names is the file to store the frame in.
    Raises ConfigError for a hint that is none, and DataError for what can be read in two ways.
    """
    said = _said({"decimal": "point", **hints})
    columns = read_columns(typed(frame, "a frame").columns, said)
    if respelt := [column.name for column in columns if column.respelt is not None]:
        raise DataError(
            f"column {respelt[0]!r} holds numbers that are written as texts; convert it first, or "
            "draft from the file: treeline add"
        )
    source = {"kind": "file", "path": f"{FILES}/{name}.parquet"}
    return Declaration.of(name, drafted(columns, target, source=source, hints=said).block)


def _said(hints: Mapping[str, Any]) -> Hints:
    """Return what a person says of a frame; raises ConfigError for what is no hint."""
    known = [each.name for each in fields(Hints)]
    if unknown := [name for name in hints if name not in known]:
        raise ConfigError(f"{unknown[0]!r} is no hint; give some of {', '.join(known)}")
    said = dict(hints)
    if said.get("positive") is not None:
        said["positive"] = text_of(said["positive"])
    try:
        return HINTS.validate_python(said)
    except ValidationError as error:
        raise ConfigError("; ".join(problems(error, said))) from None
