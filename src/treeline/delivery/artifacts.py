"""Released models as DVC and GTO list them: `artifacts:` in model/dvc.yaml, and a tag per version.

So `dvc artifacts get REPOSITORY model:NAME` and `gto show` see them. Names and numbers of the
tags are GTO's own form: `model=NAME@v0.0.2` is a version, `model=NAME#production#3` where it went.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from treeline.config import Layout, read_params
from treeline.delivery import repository
from treeline.delivery.releasing import Entry
from treeline.files import write_text

LISTING = Path("model/dvc.yaml")
STAGE = "production"
PREFIX = "model="  # of the tags: the folder of the listing, in GTO's form
HEAD = "# The released models, for `dvc artifacts get` and GTO; written by treeline publish.\n"


def version(model: str) -> str | None:
    """Return the version of the model exported here, None where there is none."""
    path = Layout(model).signature
    if not path.is_file():
        return None
    return str(json.loads(path.read_text(encoding="utf-8"))["version"])


def declare(models: Sequence[str]) -> None:
    """List the exported models among these; others that are declared stay as git lists them."""
    text = repository.shown("HEAD", LISTING)
    listed = YAML(typ="safe").load(text).get("artifacts", {}) if text else {}
    declared = read_params().models
    listing = {
        name: {
            "path": Layout(name).artifact.relative_to(LISTING.parent).as_posix(),
            "type": "model",
            "desc": declared[name].description,
            "labels": [declared[name].target.task],
        }
        if name in models
        else listed.get(name)
        for name in sorted(declared)
        if version(name)
    }
    entries = {name: each for name, each in listing.items() if each}
    write_text(LISTING, HEAD + json.dumps({"artifacts": entries}, indent=2) + "\n")


def tags(entry: Entry) -> list[str]:
    """Return the refspecs that tag each version of a release that has no tag yet."""
    repository.refresh_tags(f"{PREFIX}*")
    refspecs = []
    for name, version in entry.models.items():
        numbers, messages = _tags_of(name, "@v")
        if version in messages.values():
            continue
        newest = max(numbers, default=(0, 0, 0))
        number = ".".join(map(str, (*newest[:2], newest[2] + 1)))
        refspecs.append(_tag(f"{PREFIX}{name}@v{number}", entry.passed[name], message=version))
    return refspecs


def stage_tags(entry: Entry) -> list[str]:
    """Return the refspecs that tag where the versions of a release went: into production."""
    repository.refresh_tags(f"{PREFIX}*")
    refspecs = []
    for name, version in entry.models.items():
        numbers, messages = _tags_of(name, f"#{STAGE}#")
        newest = max(numbers, default=(0,))
        if messages.get(newest) != version:
            tag = f"{PREFIX}{name}#{STAGE}#{newest[0] + 1}"
            refspecs.append(_tag(tag, entry.passed[name], message=version))
    return refspecs


def _tags_of(model: str, kind: str) -> tuple[list[tuple[int, ...]], dict[tuple[int, ...], str]]:
    """Return the numbers of a model's tags of a kind, and the versions that they name."""
    prefix = f"{PREFIX}{model}{kind}"
    messages = {
        tuple(map(int, name.removeprefix(prefix).split("."))): message
        for name, message in repository.tags(f"{prefix}*").items()
        if re.fullmatch(r"\d+(\.\d+)*", name.removeprefix(prefix))
    }
    return list(messages), messages


def _tag(name: str, commit: str, *, message: str) -> str:
    return f"{repository.tag_object(name, commit, message=message)}:refs/tags/{name}"
