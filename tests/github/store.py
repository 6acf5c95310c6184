"""What happened on the fake GitHub: comments, issues, artifacts, pushes, deployments."""

import copy
import threading
from dataclasses import dataclass, field
from typing import Any

from tests.github.settings import Token

Row = dict[str, Any]


@dataclass
class Store:
    """Everything that the API was told, as rows with the keys of GitHub's own answers."""

    comments: list[Row] = field(default_factory=list)  # on commits
    issues: list[Row] = field(default_factory=list)  # pull requests are issues too
    issue_comments: list[Row] = field(default_factory=list)
    pulls: list[Row] = field(default_factory=list)
    artifacts: list[Row] = field(default_factory=list)
    deployments: list[Row] = field(default_factory=list)  # of jobs that name an environment
    approvals: list[Row] = field(default_factory=list)  # asked for by such jobs
    dispatches: list[Row] = field(default_factory=list)
    pushes: list[Row] = field(default_factory=list)
    requests: list[Row] = field(default_factory=list)
    tokens: dict[str, Token] = field(default_factory=dict)
    number: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add(self, table: str, **row: Any) -> Row:
        """Add a row to a table and return it, with an id of its own."""
        with self.lock:
            self.number += 1
            made = {"id": self.number, **row}
            getattr(self, table).append(made)
            return made

    def copied(self) -> "Store":
        """Return a copy to be changed at will; tokens of jobs have ended."""
        made = Store(number=self.number)
        for name, value in vars(self).items():
            if isinstance(value, list):
                setattr(made, name, copy.deepcopy(value))
        return made
