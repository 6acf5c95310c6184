"""Digest stage: params.yaml, model/code.json, src/own → model/inputs/<model>/<stage>.json.

What a stage follows hangs on the model: the keys of its block, its kind of source, its trainers,
its own classes. DVC cannot make a dependency of some models and not of others, and it parses the
whole of params.yaml anew for each stage that follows a key of it. So this stage, which costs next
to nothing, runs once for all models when a declaration or code changes, and each of the others
follows a file of its own.
"""

import json
import shutil

from treeline.code import Module
from treeline.config import Layout, read_params
from treeline.config.layout import CODE, INPUTS
from treeline.files import write_text
from treeline.stage_code import stage_inputs


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
