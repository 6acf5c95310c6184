"""`environment_file` and `options` → what the agent must know of how the service is set."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from treeline.agent.settings import AgentSettings
from treeline.errors import AgentError

SHOWN_DIGITS = 16  # of a mark, as many as tell two files apart


@dataclass(frozen=True)
class ServiceSettings:
    """The settings of the service by their names, and a mark that is another when they change."""

    values: Mapping[str, str]
    mark: str

    @classmethod
    def of(cls, settings: AgentSettings) -> Self:
        """Read the file; one that is not there sets nothing. Raises AgentError."""
        file = settings.environment_file
        try:
            text = "" if file is None else file.read_text("utf-8")
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as error:
            raise AgentError(f"environment_file: {file}: cannot be read: {error}") from error
        lines = [line.strip() for line in text.splitlines()]
        pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
        values = {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
        whole = json.dumps([values, settings.options], sort_keys=True)
        return cls(values, hashlib.sha256(whole.encode()).hexdigest()[:SHOWN_DIGITS])

    def listed(self, name: str) -> frozenset[str]:
        """Return the items of a setting that lists some, separated by commas."""
        items = (item.strip() for item in self.values.get(name, "").split(","))
        return frozenset(filter(None, items))
