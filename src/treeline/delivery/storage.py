"""The DVC remote that others share: which it is, what it lacks; pull from it, push to it."""

import json
import os
from pathlib import Path

from treeline.config.layout import SOURCES
from treeline.delivery.processes import attempt, run
from treeline.errors import StorageError

URL = "DVC_REMOTE_URL"  # in the environment: where CI keeps data and models
CREDENTIALS = "GDRIVE_CREDENTIALS_DATA"
NAME = "shared"  # of the remote made from that URL, in .dvc/config.local


def shared() -> str | None:
    """Return the name of the remote that others can reach, or None where there is none.

    A URL in the environment is made the default remote of this clone first, in its own
    `.dvc/config.local`; its credentials stay in the environment. A default remote that is a folder
    inside the clone is no place to keep what git points to.
    """
    url = os.environ.get(URL)
    known = _using(url) if url else settings()
    name = known.get("core.remote")
    address = known.get(f"remote.{name}.url")
    return None if address is None or _inside(address) else name


def missing() -> list[str]:
    """Return the outputs of this checkout that the default remote lacks; asks the remote.

    Every file of a folder is looked for: the list of its files may be there without them. Raises
    StorageError when the remote cannot be reached, with what DVC said of it.
    """
    look = ("dvc", "data", "status", "--granular", "--not-in-remote", "--json")
    done = attempt(*look, error=StorageError)
    if done.returncode:
        raise _unreachable("read", done.stderr)
    found: list[str] = json.loads(done.stdout).get("not_in_remote", [])
    return found


def pull(*targets: str) -> list[str]:
    """Fetch outputs and return those the remote lacks, which have to be made anew.

    Raises StorageError when the remote cannot be reached, or lacks what nothing can make anew.
    """
    lacking = missing()
    if lost := irreplaceable(lacking):
        raise StorageError(
            f"the remote lacks {', '.join(lost)}, which nothing can make anew; "
            "whoever has the file stores it: dvc push"
        )
    if lacking:  # a pull that fails for one file of a folder brings no other output here
        attempt("dvc", "fetch", *targets, error=StorageError)
        run("dvc", "checkout", "--quiet", "--allow-missing", *targets, error=StorageError)
        return lacking
    done = attempt("dvc", "pull", *targets, error=StorageError)
    if done.returncode:
        raise _unreachable("pulled from", done.stderr)
    return []


def push() -> None:
    """Store every output, and look whether all have arrived: git must point to nothing missing."""
    done = attempt("dvc", "push", error=StorageError)
    if done.returncode:
        raise _unreachable("pushed to", done.stderr)
    if lacking := missing():
        raise StorageError(
            "after `dvc push` the remote still lacks " + ", ".join(lacking) + "; "
            "bring them up to date here (make repro), then push again"
        )


def irreplaceable(lacking: list[str]) -> list[str]:
    """Return those of the outputs a remote lacks that no stage can make anew."""
    return [path for path in lacking if path.startswith(f"{SOURCES}/")]


def _using(url: str) -> dict[str, str]:
    """Make the URL the default remote of this clone, and return the settings there are then."""
    known = settings()
    if (known.get("core.remote"), known.get(f"remote.{NAME}.url")) != (NAME, url):
        run("dvc", "remote", "add", "--local", "--force", "--default", NAME, url)
        known = settings()
    if url.startswith("gdrive://") and _is_service_account(os.environ.get(CREDENTIALS, "")):
        option = f"remote.{NAME}.gdrive_use_service_account"
        run("dvc", "config", "--local", option, "true", error=StorageError)
    return known


def _is_service_account(credentials: str) -> bool:
    try:
        document = json.loads(credentials)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("type") == "service_account"


def _inside(address: str) -> bool:
    """Tell whether an address is a folder of this clone."""
    return "://" not in address and Path(address).resolve().is_relative_to(Path.cwd().resolve())


def settings() -> dict[str, str]:
    """Return DVC's settings, the clone's own over the committed ones, addresses made absolute."""
    lines = run("dvc", "config", "--list", error=StorageError).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _unreachable(done: str, told: str) -> StorageError:
    """Say that the default remote cannot be read, pulled from or pushed to, and why."""
    return StorageError(
        f"the remote `{settings().get('core.remote')}` cannot be {done}: {complaint(told)}; "
        "look at its address and its credentials: make doctor"
    )


def complaint(told: str) -> str:
    """Return the last error DVC printed, without its name for it."""
    errors = [line for line in told.splitlines() if line.startswith("ERROR: ")]
    return (errors or told.splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
