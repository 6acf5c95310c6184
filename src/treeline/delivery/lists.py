"""A branch of git as a list of small JSON documents: one file, a commit for each entry.

Another file may lie beside it, such as who has signed the entry.

It is no branch of the code, because a workflow's token may not push one in which workflow files
change. The entries are read from where `git fetch` has put them, without touching the checkout.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treeline.delivery import repository


@dataclass(frozen=True)
class JsonList:
    """A list of documents on a branch, the newest at its tip."""

    branch: str

    @property
    def tracked(self) -> str:
        """The ref under which this clone knows the branch."""
        return f"refs/remotes/origin/{self.branch}"

    @property
    def file(self) -> Path:
        """The one file of the branch."""
        return Path(f"{self.branch}.json")

    def refresh(self) -> None:
        """Fetch the branch, where the shared repository has it."""
        repository.refresh(self.branch, self.tracked)

    def tip(self) -> str | None:
        """Return the commit of the newest entry, None where there is no list yet."""
        return repository.resolved(self.tracked)

    def at(self, revision: str) -> dict[str, Any] | None:
        """Return the document of an entry, None where the revision has none."""
        text = repository.shown(revision, self.file)
        return None if text is None else dict(json.loads(text))

    def last(self) -> dict[str, Any] | None:
        """Return the newest document, None where there is no list yet."""
        return self.at(self.tracked)

    def documents(self) -> Iterator[dict[str, Any]]:
        """Yield every document, the newest first."""
        tip = self.tip()
        for revision in repository.history(tip) if tip else ():
            if (document := self.at(revision)) is not None:
                yield document

    def beside(self, document: dict[str, Any], name: str, *, at: str | None = None) -> str | None:
        """Return the text of another file of the newest entry with a document, None without one.

        `at` is the commit of an entry, where what came after that does not count.
        """
        tip = (repository.resolved(at) if at else None) or self.tip()
        for revision in repository.history(tip) if tip else ():
            if self.at(revision) == document:
                return repository.shown(revision, Path(name))
        return None

    def entry(
        self, document: dict[str, Any], *, message: str, beside: Mapping[str, str] | None = None
    ) -> str:
        """Make the commit of a new entry, here; return the refspec that pushes it.

        `beside` are the texts of other files of the entry, by name.
        """
        files = {self.file.name: json.dumps(document, indent=2) + "\n", **(beside or {})}
        commit = repository.entry(files, after=self.tip(), message=message)
        return f"{commit}:refs/heads/{self.branch}"
