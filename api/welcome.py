"""Where to look once the service is up, and a request to paste; `api.workers` prints it.

It reads signatures only and loads no model, so that it costs next to nothing before a start.
"""

import errno
import socket
import sys

from api.contract.schemas import curl
from api.models.catalogue import DEFAULT_PATH, PATH, Catalogue, Entry
from api.settings import Settings
from treeline.artifact.store import ArtifactStore
from treeline.errors import TreelineError

TAKEN = 98  # the exit code of a start on a port that is taken
GET = "make them (make repro), fetch them (make pull), or remove them (make forget MODEL=…)"
NO_MODELS = """No model below {folder} yet: make them (make repro), or fetch them (make pull). Until
then {url}/readyz answers 503."""


def welcome(settings: Settings, *, url: str) -> str:
    """Return what to print before a service starts that is reached at `url`."""
    store = ArtifactStore(settings.served_dir, left_out=settings.leave_out)
    entries = {}
    for name in store.names():
        try:
            entries[name] = Entry(name, store.signature(name))
        except TreelineError as error:
            entries[name] = Entry(name, reason=str(error))
    lines = [f"Treeline: {url}", f"API docs: {url}/docs"]
    if settings.models:
        lines.append(f"Models are fetched from {settings.models}")
    if settings.registry:
        lines.append(f"Models of the registry: {url}/v1/registry")
    elif not (entries or settings.models):
        return "\n".join([*lines, NO_MODELS.format(folder=settings.model_dir, url=url)])
    whole = {name: entry for name, entry in entries.items() if _is_whole(entry, settings)}
    if missing := [name for name in entries if name not in whole]:
        lines.append(f"Not served, for their files are not here: {', '.join(missing)}; {GET}")
    default = Catalogue(entries, default=settings.default_model).default_name
    paths = {name: PATH.format(model=name) for name in whole} | (
        {default: DEFAULT_PATH} if default in whole else {}
    )
    shown = default if default in whole else next(iter(whole), None)
    signature = whole[shown].signature if shown is not None else None
    if shown is not None and signature is not None:
        lines += ["Try it:", curl(signature, url=f"{url}{paths[shown]}")]
    return "\n".join(lines)


def _is_whole(entry: Entry, settings: Settings) -> bool:
    """Tell whether the files of a model are there; what is in them is seen when it is loaded."""
    if entry.signature is None:
        return False
    folder = settings.served_dir / entry.name
    return all((folder / name).is_file() for name in entry.signature.files)


def taken(host: str, port: int) -> bool:
    """Tell whether another process listens there, so that no server can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def main(host: str, port: str) -> int:
    """Print the welcome and return 0, or TAKEN where nothing can be started."""
    if port.isdigit() and taken(host, int(port)):
        print(
            f"PORT={port}: another process listens on {host or 'any address'}, port {port}; "
            f"stop it, or choose another port: PORT={int(port) + 1}",
            file=sys.stderr,
        )
        return TAKEN
    reached = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host
    print(welcome(Settings(), url=f"http://{reached}:{port}"), flush=True)
    return 0
