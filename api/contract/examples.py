"""Signature → its example as people use it: a record to try, a command line to paste."""

import shlex

from pydantic_core import to_json

from treeline.contract.features import Value
from treeline.contract.signature import Signature


def example_record(signature: Signature) -> dict[str, Value | None]:
    """Return the example of a model as a person writes it: 4 rather than 4.0 for a whole number."""
    whole = {name for name, feature in signature.features.items() if feature.kind.whole}
    return {
        name: int(value) if name in whole and value is not None else value
        for name, value in signature.example.record.items()
    }


def curl(signature: Signature, *, url: str) -> str:
    """Return a command, ready to paste, that posts the example of a model to `url`."""
    record = to_json(example_record(signature)).decode()
    header = shlex.quote("Content-Type: application/json")
    return f"curl {shlex.quote(url)} -H {header} \\\n  -d {shlex.quote(record)}"
