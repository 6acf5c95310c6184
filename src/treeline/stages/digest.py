"""What stages follow: src/treeline → model/code.json; with params.yaml, src/own → model/inputs."""

import json
import shutil
from pathlib import Path

import treeline
from treeline.config import Layout, read_params
from treeline.config.layout import CODE, INPUTS
from treeline.files import write_json, write_text
from treeline.stages.dependencies import stage_inputs
from treeline.stages.modules import Module, read_modules


def write_inputs() -> str:
    """Write what each stage of each declared model follows; return how many models there are.

    A file whose content stays is left alone, so that DVC need not read it again. What belongs to
    no declared model goes.
    """
    params = read_params()
    document = json.loads(CODE.read_text(encoding="utf-8"))
    modules = {name: Module.of(data) for name, data in document.items()}
    for name, spec in params.models.items():
        inputs = stage_inputs(spec, modules, default=name == params.default)
        for stage, followed in inputs.items():
            path = Layout(name).inputs / f"{stage}.json"
            text = json.dumps(followed, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                write_text(path, text)
    for path in set(INPUTS.iterdir()) - {Layout(name).inputs for name in params.models}:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return f"{len(params.models)} models"


def write_code() -> str:
    """Write what each module of this package does and reaches; return how many there are."""
    modules = read_modules(Path(treeline.__file__).parent)
    write_json(CODE, {name: module.to_dict() for name, module in modules.items()})
    return f"{len(modules)} modules"
