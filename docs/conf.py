"""How Sphinx makes a site of the documents: `make site` writes it to build/site."""

import os
import posixpath
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

project = "Treeline"
html_title = "Treeline"
copyright = "the authors of Treeline, MIT"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["conf.py"]
html_theme = "furo"
html_copy_source = False
html_show_sourcelink = False
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
myst_enable_extensions = ["colon_fence"]
autodoc_default_options = {
    "members": True,
    "undoc-members": True,
    "member-order": "bysource",
    "exclude-members": "model_config",
}
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
# JSON and shell with an ellipsis or a placeholder in it are shown as they are; a picture of a model
# that this repository has no more is left out.
suppress_warnings = ["misc.highlighting_failure", "image.not_readable"]

outwards = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)(#[^)\s]*)?\)")


def point_outwards(_: Sphinx, name: str, source: list[str]) -> None:
    """Let links that lead out of docs/ lead to the repository; unknown, they are text alone.

    The name of the repository, owner/name, is what the workflows have in GITHUB_REPOSITORY.
    """
    repository = os.environ.get("GITHUB_REPOSITORY")
    folder = posixpath.dirname(f"docs/{name}")

    def link(found: re.Match[str]) -> str:
        text, path, anchor = (
            found[1],
            posixpath.normpath(posixpath.join(folder, found[2])),
            found[3],
        )
        if path.startswith("docs/"):
            return found[0]
        if repository is None:
            return text
        return f"[{text}](https://github.com/{repository}/blob/main/{path}{anchor or ''})"

    source[0] = outwards.sub(link, source[0])


def setup(app: Sphinx) -> None:
    """Have links rewritten when a page is read."""
    app.connect("source-read", point_outwards)
