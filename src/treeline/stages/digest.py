"""Digest stage: model/code.json, src/own → model/<model>/code/<stage>.json, a file per stage.

Which code a stage runs depends on the model: its kind of source, its trainers, its own classes. DVC
cannot make a dependency of some models and not of others. So this stage, which costs next to
nothing, runs for all models when code changes, and each of the others follows its file.
"""

import json

from treeline.code import Module
from treeline.config import Layout
from treeline.config.layout import CODE
from treeline.config.models import ModelSpec
from treeline.files import write_json
from treeline.stage_code import stage_code


def digest(spec: ModelSpec, paths: Layout) -> str:
    """Write the digest of each module that a stage runs for the model."""
    document = json.loads(CODE.read_text(encoding="utf-8"))
    modules = {name: Module.of(data) for name, data in document.items()}
    stages = stage_code(spec, modules)
    for stage, files in stages.items():
        write_json(paths.code / f"{stage}.json", files)
    counts = ", ".join(f"{stage} {len(files)}" for stage, files in stages.items())
    return f"modules that decide its results: {counts}"
