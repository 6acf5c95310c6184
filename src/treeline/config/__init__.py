"""`params.yaml` → frozen specs, and every path, once."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from treeline.config.layout import INPUTS, PARAMS, SOURCES, Layout
from treeline.config.models import ModelSpec
from treeline.config.problems import problems, yaml_problem
from treeline.contract.features import Closed
from treeline.contract.texts import Slug, composed, twin_of
from treeline.errors import ConfigError

__all__ = ["PARAMS", "Layout", "Params", "declared_model", "read_params"]

RESERVED = {SOURCES.name, INPUTS.name}  # `dataset/sources` and `model/inputs` are no model's


class Params(Closed):
    """The whole declaration."""

    default: Slug
    tracker: Literal["mlflow"] | None = None
    models: Annotated[dict[Slug, ModelSpec], Field(min_length=1)]

    @model_validator(mode="after")
    def _default_is_declared(self) -> Self:
        if self.default not in self.models:
            raise ValueError(f"`default` names {self.default!r}, which is not under `models`")
        for name in self.models:
            if name in RESERVED:
                raise ValueError(f"a model cannot be called {name!r}; give it another name")
            if (twin := twin_of(name, self.models)) is not None:
                raise ValueError(
                    f"the models {name!r} and {twin!r} differ in hyphens and underscores only; "
                    "give one of them another name"
                )
        return self


def read_params(path: Path = PARAMS) -> Params:
    """Read a declaration; raises ConfigError with each wrong place, its value and the way out."""
    try:
        # YAML 1.2, as DVC reads it: with 1.1 `1e-3` would be text and `off` would be false
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: not found; run this from the root of the repository") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error
    except YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {yaml_problem(error)}") from error
    try:
        return Params.model_validate(_composed(document))
    except ValidationError as error:
        lines = [f"{path}: {problem}" for problem in problems(error, document)]
        raise ConfigError("\n".join(lines)) from None


def _composed(document: Any) -> Any:
    """Return what was declared with all names and texts composed, so that none has a double."""
    if isinstance(document, dict):
        return {_composed(key): _composed(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_composed(each) for each in document]
    return composed(document) if isinstance(document, str) else document


def declared_model(name: str, path: Path = PARAMS) -> tuple[ModelSpec, Layout]:
    """Return the spec and the paths of one model; raises ConfigError when it is not declared."""
    models = read_params(path).models
    if name not in models:
        raise ConfigError(f"{path}: models.{name}: not declared; declared are {', '.join(models)}")
    return models[name], Layout(name)
