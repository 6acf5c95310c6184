"""The git repository of this checkout: what stands where, commits, pushes that may lose a race."""

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from treeline.delivery.processes import attempt, run
from treeline.errors import PublishingError

BOT = "github-actions[bot]"
BOT_MAIL = "41898282+github-actions[bot]@users.noreply.github.com"


def resolved(revision: str) -> str | None:
    """Return the commit a revision names, or None."""
    done = attempt("git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    return done.stdout.strip() if done.returncode == 0 else None


def committed(revision: str) -> int:
    """Return when a commit was made, in seconds of the epoch."""
    return int(run("git", "show", "--no-patch", "--format=%ct", f"{revision}^{{commit}}"))


def shown(revision: str, path: Path) -> str | None:
    """Return a file as it stands at a revision, or None where it is not there."""
    done = attempt("git", "show", f"{revision}:./{path.as_posix()}")
    return done.stdout if done.returncode == 0 else None


def differ(one: str, other: str, *pathspecs: str) -> bool:
    """Tell whether two revisions differ in any of the paths (git's pathspecs)."""
    done = attempt("git", "diff", "--quiet", one, other, "--", *pathspecs)
    if done.returncode not in {0, 1}:
        raise PublishingError(f"git diff {one} {other}: {done.stderr.strip()}")
    return done.returncode == 1


def staged(*paths: str, besides: Sequence[str] = ()) -> list[str]:
    """Stage what changed below the paths, as far as git does not ignore it; return the files.

    `besides` are pathspecs that exclude some of it.
    """
    there = [path for path in paths if Path(path).exists()]
    run("git", "add", "--all", "--", *there, *besides, error=PublishingError)
    return run("git", "diff", "--cached", "--name-only", error=PublishingError).split("\n")[:-1]


def unstage(files: Sequence[str]) -> None:
    """Take files out of what is staged; they stay as they are in the folder."""
    if files:
        run("git", "reset", "--quiet", "--", *files, error=PublishingError)


def commit(message: str) -> str:
    """Commit what is staged, as the bot in GitHub Actions and as the user elsewhere."""
    run("git", "commit", "--quiet", "--message", message, env=_identity(), error=PublishingError)
    return run("git", "rev-parse", "HEAD").strip()


def fetch(branch: str) -> str:
    """Fetch a branch of the remote repository and return its tip."""
    run("git", "fetch", "--quiet", _remote(), branch, env=_access(), error=PublishingError)
    return run("git", "rev-parse", "FETCH_HEAD").strip()


def refresh(branch: str, ref: str) -> None:
    """Fetch a branch into a ref of this clone, where the remote repository has one."""
    attempt(
        "git", "fetch", "--quiet", _remote(), f"+refs/heads/{branch}:{ref}", env=_access()
    )  # fmt: skip


def refresh_tags(pattern: str) -> None:
    """Fetch the tags of the remote repository that fit a pattern: others may have pushed some.

    Where it cannot be reached, the push that follows says so.
    """
    refspec = f"+refs/tags/{pattern}:refs/tags/{pattern}"
    attempt("git", "fetch", "--quiet", _remote(), refspec, env=_access())


def push(*refspecs: str) -> str | None:
    """Push all of the refs or none; return None, or what git complained about."""
    done = attempt(
        "git", "push", "--quiet", "--atomic", _remote(), *refspecs,
        env=_access(), error=PublishingError,
    )  # fmt: skip
    return None if done.returncode == 0 else done.stderr.strip()


def rebase(onto: str) -> None:
    """Put the commits here onto another tip; raises PublishingError, and undoes it, on conflict."""
    done = attempt(
        "git", "rebase", "--quiet", "--autostash", onto, env=_identity(), error=PublishingError
    )
    if done.returncode:
        attempt("git", "rebase", "--abort")
        raise PublishingError(
            f"somebody has committed other models meanwhile ({onto[:12]}), and these cannot be put "
            "on top of them; nothing was pushed. Run the training again: it starts from theirs"
        )


def is_ancestor(older: str, newer: str) -> bool:
    """Tell whether `newer` has `older` in its history."""
    return attempt("git", "merge-base", "--is-ancestor", older, newer).returncode == 0


def entry(files: Mapping[str, str], *, after: str | None, message: str) -> str:
    """Make a commit whose whole tree is these texts by name, without touching the checkout.

    `after` is its parent, None for a first one. Returns the commit.
    """
    lines = []
    for name, text in files.items():
        blob = run("git", "hash-object", "-w", "--stdin", given=text, error=PublishingError)
        lines.append(f"100644 blob {blob.strip()}\t{name}\n")
    tree = run("git", "mktree", given="".join(lines), error=PublishingError)
    return _committed(tree.strip(), after=after, message=message)


def folder(path: Path, *, message: str, after: str | None = None) -> str:
    """Make a commit whose tree is a folder, also where git ignores it; return it.

    `after` is its parent, None for none. Neither the checkout nor its index is touched.
    """
    with TemporaryDirectory() as scratch:
        apart = {
            "GIT_INDEX_FILE": str(Path(scratch, "index")),
            "GIT_WORK_TREE": str(path.resolve()),
        }
        run("git", "add", "--all", "--force", ".", env=apart, cwd=path, error=PublishingError)
        tree = run("git", "write-tree", env=apart, cwd=path, error=PublishingError).strip()
    return _committed(tree, after=after, message=message)


def tags(pattern: str) -> dict[str, str]:
    """Return the annotated tags whose names fit a pattern, each with the subject of its message."""
    listed = run(
        "git", "tag", "--list", pattern, "--format=%(refname:strip=2)%09%(contents:subject)",
        error=PublishingError,
    )  # fmt: skip
    return dict(line.split("\t", 1) for line in listed.splitlines())


def tag_object(name: str, commit: str, *, message: str) -> str:
    """Make an annotated tag without a ref, which whoever pushes it names; return its id."""
    tagger = run("git", "var", "GIT_COMMITTER_IDENT", env=_identity(), error=PublishingError)
    text = f"object {commit}\ntype commit\ntag {name}\ntagger {tagger.strip()}\n\n{message}\n"
    return run("git", "mktag", given=text, error=PublishingError).strip()


def history(tip: str) -> list[str]:
    """Return the commits up to a tip, the newest first."""
    return run("git", "rev-list", tip, error=PublishingError).split()


def remote_tips() -> list[str]:
    """Return the tips of the branches of the remote repository, as this clone knows them."""
    listed = run("git", "for-each-ref", "--format=%(objectname)", "refs/remotes")
    return sorted(set(listed.split()))


def branch() -> str:
    """Return the branch this work belongs to: that of the run, or the one checked out."""
    if name := os.environ.get("GITHUB_REF_NAME"):
        return name
    return run("git", "rev-parse", "--abbrev-ref", "HEAD", error=PublishingError).strip()


def _committed(tree: str, *, after: str | None, message: str) -> str:
    """Make a commit of a tree, the first one where `after` is None; return it."""
    parents = ["-p", after] if after else []
    return run(
        "git", "commit-tree", tree, *parents, "-m", message,
        env=_identity(), error=PublishingError,
    ).strip()  # fmt: skip


def _remote() -> str:
    """Return where to push: the repository of the run by its address, else `origin`."""
    if os.environ.get("GITHUB_TOKEN") and (name := os.environ.get("GITHUB_REPOSITORY")):
        return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}"
    return "origin"


def _access() -> dict[str, str]:
    """Return what gives git the run's token: in its environment, on no command line, in no file."""
    token = os.environ.get("GITHUB_TOKEN")
    if not token or _remote() == "origin":
        return {}
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{_remote()}.extraheader",
        "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {basic}",
        "GIT_TERMINAL_PROMPT": "0",
    }


def _identity() -> dict[str, str]:
    if not os.environ.get("GITHUB_ACTIONS"):
        return {}
    return {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", BOT), ("EMAIL", BOT_MAIL))
    }
