"""`python -m treeline.commands.params [--schema]`: check params.yaml, or print its schema."""

import json
import sys

from treeline.config import PARAMS, Params, read_params
from treeline.errors import TreelineError


def main(arguments: list[str]) -> str:
    """Return the JSON schema of the declaration, or one line per declared model."""
    if arguments == ["--schema"]:
        return json.dumps(Params.model_json_schema(), indent=2)
    if arguments:
        sys.exit("usage: python -m treeline.commands.params [--schema]")
    params = read_params()
    lines = [
        f"{name}: {len(spec.features)} features of {spec.source.kind} rows, "
        f"{len(spec.candidates)} candidates, champion by {spec.champion.metric}"
        for name, spec in params.models.items()
    ]
    return "\n".join([f"{PARAMS}: good; the default model is {params.default}", *lines])


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except TreelineError as error:
        sys.exit(str(error))
