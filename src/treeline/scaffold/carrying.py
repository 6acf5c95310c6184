"""The build of a wheel → files of the framework's repository, which `treeline new` copies, in it.

They are listed in `pyproject.toml`. What is not there is left out: an image is built without them.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CARRIED = "treeline/scaffold/carried"


class Carrying(BuildHookInterface[Any]):
    """Adds the listed files to a wheel, below `treeline/scaffold/carried`."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name what is to be added; a checkout that is installed in place has its files at hand."""
        if version == "editable":
            return
        for name in self.config["files"]:
            path = Path(self.root, name)
            if path.is_file():
                build_data["force_include"][str(path)] = f"{CARRIED}/{name}.in"
