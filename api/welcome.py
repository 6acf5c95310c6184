"""`python -m api.welcome`: where to look once the service is up, and a request to paste.

It reads signatures only and loads no model, so that it costs next to nothing before a start.
"""

import os

from api.catalogue.entries import Catalogue, Entry
from api.contract.examples import curl
from api.settings import Settings
from treeline.artifact.store import ArtifactStore
from treeline.errors import TreelineError

NO_MODELS = """No model below {folder} yet: fetch the exported ones with `dvc pull`, or make them
with `dvc repro`, and start again. Until then {url}/readyz answers 503."""


def welcome(settings: Settings, *, url: str) -> str:
    """Return what to print before a service starts that is reached at `url`."""
    store = ArtifactStore(settings.model_dir)
    entries = {}
    for name in store.names():
        try:
            entries[name] = Entry(name, store.signature(name))
        except TreelineError as error:
            entries[name] = Entry(name, reason=str(error))
    lines = [f"Treeline: {url}", f"API docs: {url}/docs"]
    if settings.registry:
        lines.append(f"Models of the registry: {url}/v1/registry")
    elif not entries:
        return "\n".join([*lines, NO_MODELS.format(folder=settings.model_dir, url=url)])
    default = Catalogue(entries, default=settings.default_model).default_name
    signature = entries[default].signature if default in entries else None
    if signature is not None:
        lines += ["Try it:", curl(signature, url=f"{url}/v1/predict")]
    return "\n".join(lines)


if __name__ == "__main__":
    host = os.environ.get("HOST", "127.0.0.1")
    reached = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host
    print(welcome(Settings(), url=f"http://{reached}:{os.environ.get('PORT', '8000')}"), flush=True)
