"""A draft → the lines of its block, and `params.yaml` with them; every other byte stays."""

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from treeline.config.lines import end_of_entry
from treeline.config.problems import declares_nothing
from treeline.errors import ConfigError

if TYPE_CHECKING:  # what drafts brings the libraries that train, and what writes blocks needs none
    from treeline.drafting.choices import Draft

SHORT = 100  # characters of a line on which a mapping stands whole
SPREAD = ("features", "candidates")  # keys whose entries have a line or more each
NEW_LINES = re.compile(r"\s+")
DEFAULT = re.compile(r"^default:[ \t]*(?:null|~)?((?: #.*)?)$", re.MULTILINE)
MODELS = re.compile(r"^models:.*$", re.MULTILINE)


def block_lines(name: str, draft: "Draft") -> list[str]:
    """Return the lines of a model's block, as they stand below `models`, without line ends."""
    lines = [f"  {_flow(name)}:"]
    for key, value in draft.block.items():
        comment = draft.comments.get((key,), "")
        if key in SPREAD:
            lines.append(f"    {key}:")
            for entry, declared in value.items():
                lines += _entry(entry, declared, draft.comments.get((key, entry), ""), key)
            if key == "features":
                lines += _left_out(draft)
        elif any(place[:1] == (key,) and len(place) > 1 for place in draft.comments):
            lines.append(f"    {key}:")
            for entry, declared in value.items():
                said = draft.comments.get((key, entry), "")
                lines.append(f"      {_flow(entry)}: {_flow(declared)}{_comment(said)}")
        else:
            lines.append(f"    {key}: {_flow(value)}{_comment(comment)}")
    return lines


def has_no_model(text: str) -> bool:
    """Tell whether a text is the declaration of a repository that has no model yet."""
    try:
        return declares_nothing(YAML(typ="safe", pure=True).load(text))
    except YAMLError:
        return False


def with_block(text: str, name: str, lines: list[str]) -> str:
    """Return the text of a declaration with a block at the end of `models`; raises ConfigError.

    The first model of a declaration becomes its default.
    """
    if has_no_model(text):
        text = DEFAULT.sub(lambda match: f"default: {_flow(name)}{match[1]}", text)
        return MODELS.sub(lambda _: "\n".join(["models:", *lines]), text)
    models = YAML().load(text)["models"]
    if models.fa.flow_style():
        raise ConfigError("models: written in braces; put each model on lines of its own")
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    written = text.splitlines(keepends=True)
    last = list(models)[-1]
    line, column = models.lc.key(last)
    place = end_of_entry(written, line, column)
    shift = column - 2
    block = [" " * shift + each if shift > 0 else each for each in lines]
    before, after = "".join(written[:place]), "".join(written[place:])
    if not before.endswith("\n"):
        before += end_of_line
    blank = "" if before.endswith(end_of_line * 2) else end_of_line
    tail = end_of_line if after.strip() else ""
    return before + blank + end_of_line.join(block) + end_of_line + tail + after


def _entry(name: str, declared: Mapping[str, Any], comment: str, key: str) -> list[str]:
    flow = f"      {_flow(name)}: {_flow(declared)}"
    if key == "features":
        return [flow + _comment(comment)]
    return [
        f"      {_flow(name)}:{_comment(comment)}",
        *(f"        {part}: {_flow(value)}" for part, value in declared.items()),
    ]


def _left_out(draft: "Draft") -> list[str]:
    return [
        f"      # left out: {NEW_LINES.sub(' ', each.name)}: {NEW_LINES.sub(' ', each.reason)}"
        for each in draft.left_out
    ]


def _comment(text: str) -> str:
    return f" # {NEW_LINES.sub(' ', text)}" if text else ""


def _flow(value: Any) -> str:
    """Return a value on one line, as YAML 1.2 writes it in braces and brackets."""
    yaml = YAML()
    yaml.default_flow_style = True
    yaml.width = 1_000_000
    yaml.allow_unicode = True
    stream = io.StringIO()
    yaml.dump({"_": value}, stream)
    return stream.getvalue().strip().removeprefix("{_: ").removesuffix("}")
