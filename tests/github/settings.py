"""What people set in a repository on GitHub: secrets, variables, environments, rules, tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

Level = Literal["none", "read", "write"]
RANK: dict[str, int] = {"none": 0, "read": 1, "write": 2}


@dataclass(frozen=True)
class Token:
    """Who speaks: `kind` is GITHUB_TOKEN for the token of a job, PAT or APP for any other."""

    kind: str
    permissions: Mapping[str, str]

    def may(self, level: Level, *scopes: str) -> bool:
        """Tell whether one of the scopes is granted at this level."""
        return any(RANK[self.permissions.get(scope, "none")] >= RANK[level] for scope in scopes)


PERSONAL = Token("PAT", dict.fromkeys(("actions", "contents", "issues", "pull-requests"), "write"))


@dataclass(frozen=True)
class Environment:
    """An environment: what its jobs get, from which branches, and what its reviewers say."""

    secrets: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    branches: tuple[str, ...] = ()  # patterns; none admits every branch
    review: Literal["none", "approve", "reject"] = "none"

    def admits(self, branch: str) -> bool:
        return not self.branches or any(fnmatchcase(branch, each) for each in self.branches)


@dataclass(frozen=True)
class Rule:
    """What refuses pushes to a branch, unless it is pushed by a token of a kind that may bypass."""

    branch: str
    kind: Literal["protection", "ruleset"] = "ruleset"
    bypass: tuple[str, ...] = ()

    def refusal(self, ref: str, token_kind: str) -> str:
        """Return what git shows of the refusal, as GitHub words it; nothing where there is none."""
        if ref != f"refs/heads/{self.branch}" or token_kind in self.bypass:
            return ""
        if self.kind == "protection":
            return (
                f"error: GH006: Protected branch update failed for {ref}.\n"
                "error: Changes must be made through a pull request."
            )
        return (
            f"error: GH013: Repository rule violations found for {ref}.\n"
            f"Review all repository rules at https://github.com/rules?ref={ref}\n\n"
            "- Changes must be made through a pull request."
        )


@dataclass
class Settings:
    """A repository's settings; those of GitHub for a new one unless given."""

    name: str = "acme/toy"
    branch: str = "main"
    private: bool = False
    secrets: dict[str, str] = field(default_factory=dict)
    dependabot_secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    environments: dict[str, Environment] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    tokens: dict[str, Token] = field(default_factory=dict)  # others than those of jobs
    allow_auto_merge: bool = False
    actions_open_pulls: bool = False  # "Allow GitHub Actions to create and approve pull requests"
    tools: dict[str, str] = field(default_factory=dict)  # what setup actions bring: name → command
    hosts: dict[str, str] = field(default_factory=dict)  # who answers for others: name → URL
    python: str = ""  # the folder that setup-python puts on the PATH
    prepare: Callable[[Path], None] | None = None  # what setup-python does to a workspace besides

    def refusal(self, ref: str, token_kind: str) -> str:
        """Return why a push to a ref is refused; nothing where it is not."""
        return next(filter(None, (each.refusal(ref, token_kind) for each in self.rules)), "")
