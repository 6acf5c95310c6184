"""The DVC remote that others share: which it is, what it lacks; pull from it, push to it."""

import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ruamel.yaml import YAML

from treeline.config.layout import SOURCES
from treeline.delivery import actions
from treeline.delivery.processes import attempt, run
from treeline.errors import StorageError

URL = "DVC_REMOTE_URL"  # in the environment: where CI keeps data and models
CREDENTIALS = "GDRIVE_CREDENTIALS_DATA"
VERIFY = "verify"  # an option of a remote: its bytes are hashed before they are taken
# Where nobody answers, the library of AWS waits half a minute for each folder that git points to.
# This other way of its own gives up after three attempts, and is the one that AWS advises.
PATIENCE = {"AWS_RETRY_MODE": "standard"}
LOCAL = Path(".dvc/config.local")
NAME = "shared"  # of the remote made from that URL, in .dvc/config.local
SECRETS = {  # that open a remote, by the scheme of its address; the second as the library knows it
    "azure": ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_CONNECTION_STRING"),
    "gdrive": (CREDENTIALS, CREDENTIALS),
    "gs": ("GOOGLE_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS"),
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
}


def shared() -> str | None:
    """Return the name of the remote that others can reach, or None where there is none.

    A URL in the environment is made the default remote of this clone first, in its own
    `.dvc/config.local`; its credentials stay in the environment. A default remote that is a folder
    inside the clone is no place to keep what git points to, and one that takes a secret is out of
    reach of a run that is given none. What comes from a remote is held to the digests that git has,
    whoever added it and however.
    """
    url = os.environ.get(URL)
    known = _using(url) if url else settings()
    name = known.get("core.remote")
    address = known.get(f"remote.{name}.url")
    if address is None or _inside(address) or _withheld(address):
        return None
    if known.get(f"remote.{name}.{VERIFY}") != "true":
        run("dvc", "config", "--local", f"remote.{name}.{VERIFY}", "true", error=StorageError)
    return name


def absence() -> str:
    """Say why there is no remote that others can reach, naming the secret that it would take."""
    known = settings()
    if secret := _withheld(known.get(f"remote.{known.get('core.remote')}.url", "")):
        return (
            f"the shared remote takes the secret {secret}, which this run is not given: a fork has "
            "none, and Dependabot has a store of secrets of its own"
        )
    return f"there is no shared remote: the secret {URL} that names it is not set here"


def _withheld(address: str) -> str:
    """Return the secret that a remote takes where this run is given none; empty elsewhere."""
    secret, variable = SECRETS.get(address.partition("://")[0], ("", ""))
    if not secret or os.environ.get(variable) or not actions.lacks_secrets():
        return ""
    return secret


def missing() -> list[str]:
    """Return the outputs of this checkout that the default remote lacks; asks the remote.

    Every file of a folder is looked for: the list of its files may be there without them. Raises
    StorageError when the remote cannot be reached, with what DVC said of it.
    """
    look = ("dvc", "data", "status", "--granular", "--not-in-remote", "--json")
    done = attempt(*look, env=PATIENCE | os.environ, error=StorageError)
    if done.returncode:
        raise _unreachable("read", done.stderr)
    absent: list[str] = json.loads(done.stdout).get("not_in_remote", [])
    return absent


def pull(*targets: str) -> list[str]:
    """Fetch outputs and return those the remote lacks, which have to be made anew.

    Raises StorageError when the remote cannot be reached or is not there, lacks what nothing can
    make anew, or has other bytes than those git names.
    """
    look_for(settings())
    lacking = missing()
    if lost := irreplaceable(lacking):
        raise StorageError(
            f"the remote lacks {', '.join(lost)}, which nothing can make anew; "
            "whoever has the file stores it: dvc push"
        )
    if lacking:  # a pull that fails for one file of a folder brings no other output here
        attempt("dvc", "fetch", *targets, error=StorageError)
        run("dvc", "checkout", "--quiet", "--allow-missing", *targets, error=StorageError)
        _refuse_changed(targets, lacking)
        return lacking
    done = attempt("dvc", "pull", *targets, error=StorageError)
    if done.returncode:
        _refuse_changed(targets, lacking)
        raise _unreachable("pulled from", done.stderr)
    return []


def push(*, besides: Sequence[str] = ()) -> None:
    """Store every output, and look whether all have arrived: git must point to nothing missing.

    What the remote lacks below `besides` it lacked before, and git pointed to it.
    """
    done = attempt("dvc", "push", error=StorageError)
    if done.returncode:
        raise _unreachable("pushed to", done.stderr)
    lacking = [path for path in missing() if not _below(path, besides)]
    if lacking:
        raise StorageError(
            "after `dvc push` the remote still lacks " + ", ".join(lacking) + "; "
            "bring them up to date here (make repro), then push again"
        )


def _below(path: str, folders: Sequence[str]) -> bool:
    return any(path.startswith(f"{folder}/") for folder in folders)


def look_for(known: dict[str, str]) -> None:
    """Raise StorageError when the default remote is a folder, and that is not there.

    DVC takes it for an empty one, so that a slip in the address looks like a first training.
    """
    name = known.get("core.remote")
    address = known.get(f"remote.{name}.url", "")
    if "://" not in address and not Path(address).is_dir():
        raise StorageError(
            f"the remote `{name}` is the folder {address}, which is not there; correct its "
            "address, mount it, or make it if it is new (mkdir)"
        )


def holds_nothing(lacking: list[str]) -> bool:
    """Tell whether a remote lacks every output that dvc.lock names and git does not hold."""
    lock = Path("dvc.lock")
    text = lock.read_text(encoding="utf-8") if lock.exists() else "stages: {}"
    stages = YAML(typ="safe").load(text)["stages"]
    outputs = {out["path"] for stage in stages.values() for out in stage.get("outs", ())}
    in_git = run("git", "ls-files").splitlines()
    stored = {
        path for path in outputs if not any(f"{each}/".startswith(f"{path}/") for each in in_git)
    }
    return bool(stored) and stored <= {path.rstrip("/") for path in lacking}


def _refuse_changed(targets: tuple[str, ...], lacking: list[str]) -> None:
    """Raise StorageError when the remote has outputs, but not with the bytes that git names.

    DVC hashes what it fetches, and takes none that differs. A folder of which the remote lacks a
    file is not here as a whole, and is told as that.
    """
    look = ("dvc", "data", "status", "--granular", "--json")
    absent = json.loads(run(*look, error=StorageError)).get("not_in_cache", [])
    wanted = [path for path in absent if not targets or path.startswith(targets)]
    explained = {path for path in wanted if any(each.startswith(path) for each in lacking)}
    if changed := sorted(set(wanted) - explained):
        raise StorageError(
            f"what the remote has for {', '.join(changed)} is not what git names: it was changed "
            "or damaged there, and nothing of it was taken; whoever has the files stores them "
            "anew (dvc push), and looks who else may write to the remote"
        )


def irreplaceable(lacking: list[str]) -> list[str]:
    """Return those of the outputs a remote lacks that no stage can make anew."""
    return [path for path in lacking if path.startswith(f"{SOURCES}/")]


def _using(url: str) -> dict[str, str]:
    """Make the URL the default remote of this clone, and return the settings there are then."""
    known = settings() if LOCAL.exists() else {}  # nothing is known in a clone just made
    if (known.get("core.remote"), known.get(f"remote.{NAME}.url")) != (NAME, url):
        run("dvc", "remote", "add", "--local", "--force", "--default", NAME, url)
        run("dvc", "config", "--local", f"remote.{NAME}.{VERIFY}", "true", error=StorageError)
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
    """Return DVC's settings, the clone's own over the committed ones, addresses made absolute.

    DVC takes half a second of processor to say them, so it is asked again only when a file of
    this clone says something else.
    """
    files = (LOCAL.with_name("config"), LOCAL)
    return dict(
        _settings(Path.cwd(), *(each.read_bytes() if each.exists() else b"" for each in files))
    )


@lru_cache(maxsize=1)
def _settings(folder: Path, committed: bytes, local: bytes) -> dict[str, str]:
    lines = run("dvc", "config", "--list", error=StorageError).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _unreachable(done: str, output: str) -> StorageError:
    """Say that the default remote cannot be read, pulled from or pushed to, and why."""
    return StorageError(
        f"the remote `{settings().get('core.remote')}` cannot be {done}: {complaint(output)}; "
        "look at its address and its credentials: make doctor"
    )


def complaint(output: str) -> str:
    """Return the last error DVC printed, without its name for it."""
    errors = [line for line in output.splitlines() if line.startswith("ERROR: ")]
    return (errors or output.splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
