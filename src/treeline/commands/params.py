"""params.yaml → whether it is a valid declaration, and what it declares; or its schema."""

from typing import Any

from treeline.config import PARAMS, Params, read_params
from treeline.errors import ConfigError
from treeline.prechecks import mistakes


def check() -> Params:
    """Return the declaration; raises ConfigError, which names every mistake in it."""
    params = read_params()
    if found := mistakes(params):
        raise ConfigError("\n".join(f"{PARAMS}: {mistake}" for mistake in found))
    return params


def schema() -> dict[str, Any]:
    """Return the JSON schema of the declaration."""
    return Params.model_json_schema()


def overview(params: Params) -> dict[str, Any]:
    """Return the default model, and of each model what a person asks first, as plain data."""
    models = {
        name: {
            "features": len(spec.features),
            "source": spec.source.kind,
            "candidates": list(spec.candidates),
            "metric": spec.champion.metric,
        }
        for name, spec in params.models.items()
    }
    return {"default": params.default, "models": models}
