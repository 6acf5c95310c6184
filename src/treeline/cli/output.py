"""What a command prints for machines: one JSON document, alone on standard output."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import click

# Of every command whose table a machine would read.
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")


def working(*, as_json: bool) -> AbstractContextManager[None]:
    """Return a block in which standard output is free to use: with JSON it goes elsewhere."""
    return _on_standard_error() if as_json else nullcontext()


def to_json(document: Any) -> str:
    """Return a document as indented JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False)


@contextmanager
def _on_standard_error() -> Iterator[None]:
    """Send what this process and those it starts print on standard output to standard error."""
    sys.stdout.flush()
    output, errors = sys.stdout.fileno(), sys.stderr.fileno()
    kept = os.dup(output)
    os.dup2(errors, output)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, output)
        os.close(kept)
