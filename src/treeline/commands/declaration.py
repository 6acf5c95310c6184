"""What commands that edit `params.yaml` share: it is read before and after, and DVC looks again."""

import tempfile
from pathlib import Path

from treeline.config import Params, read_params
from treeline.delivery.processes import run
from treeline.drafting.blocks import has_no_model
from treeline.errors import ConfigError

PIPELINE = Path("dvc.yaml")


def declared_before(params: Path) -> Params | None:
    """Return what is declared, None where no model is yet; raises ConfigError."""
    if params.is_file() and has_no_model(params.read_bytes().decode("utf-8", "replace")):
        return None
    return read_params(params)


def declared_by(text: str, params: Path) -> Params:
    """Return what a text declares, read as the file itself would be; raises ConfigError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / params.name
        path.write_text(text, encoding="utf-8", newline="")
        try:
            return read_params(path)
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(path), str(params))) from None


def digest_again() -> None:
    """Run the stage that follows `params.yaml`, which is another file now; no other one runs."""
    if PIPELINE.is_file():
        run("dvc", "repro", "--quiet", "digest")
