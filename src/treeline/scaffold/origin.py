"""Where the framework is from → the line by which a repository of models installs it.

A wheel goes into the repository, and its line has its digest. An address of git is pinned to a
commit where pip has one on record. Only a registry needs no more than the version.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit
from urllib.request import url2pathname

from treeline import __version__
from treeline.errors import ScaffoldError
from treeline.scaffold.contents import FRAMEWORK

NAME = "treeline"
INDEX = "index"  # what names the registry that pip asks
FOLDER = "requirements"
WHEEL = re.compile(rf"{NAME}-([^-]+)-py3-none-any\.whl")
ADDRESS = re.compile(r"(git\+)?[a-z][a-z0-9+.-]*://\S+")
HEADER = (
    "# The framework that makes and serves the models; `treeline upgrade` writes this line anew.\n"
)


def framework(named: str | None) -> dict[str, bytes]:
    """Return `requirements/treeline.txt`, and the wheel beside it where there is one, by path.

    `named` is a wheel, a checkout, an address or `index`; None is where this Treeline is installed
    from. Raises ScaffoldError where that is not to be had again.
    """
    named = _installed_from() if named is None else named
    if named == INDEX:
        return {FRAMEWORK: f"{HEADER}{NAME}=={__version__}\n".encode()}
    if ADDRESS.fullmatch(named):
        return {FRAMEWORK: f"{HEADER}{NAME} @ {named}\n".encode()}
    path = Path(named)
    if path.is_dir():
        return _built(path)
    if not path.is_file():
        raise ScaffoldError(
            f"--framework {named}: not there; give a wheel, a checkout, git+https://…, or {INDEX}"
        )
    return _wheel(path)


def _wheel(path: Path) -> dict[str, bytes]:
    match = WHEEL.fullmatch(path.name)
    if match is None or match[1] != __version__:
        raise ScaffoldError(
            f"--framework {path}: this is treeline {__version__}; give its wheel, named "
            f"{NAME}-{__version__}-py3-none-any.whl, or run the command of that one"
        )
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    line = f"./{FOLDER}/{path.name} --hash=sha256:{digest}\n"
    return {FRAMEWORK: f"{HEADER}{line}".encode(), f"{FOLDER}/{path.name}": content}


def _built(checkout: Path) -> dict[str, bytes]:
    """Build the wheel of a checkout; its environment has the backend (`make setup`)."""
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-index"),
                *("--no-build-isolation", "--wheel-dir", folder, str(checkout.resolve())),
            ],
            capture_output=True, text=True, encoding="utf-8", errors="replace", check=False,
        )  # fmt: skip
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise ScaffoldError(
                f"--framework {checkout}: no wheel could be built of it; build one, and name it:\n"
                f"{done.stderr.strip()}"
            )
        return _wheel(wheels[0])


def _installed_from() -> str:
    """Return what pip has on record of where this Treeline is from (PEP 610)."""
    try:
        text = distribution(NAME).read_text("direct_url.json")
    except PackageNotFoundError:
        text = None
    document = json.loads(text) if text else {}
    if not document:
        return INDEX
    if commit := document.get("vcs_info", {}).get("commit_id"):
        return f"git+{document['url']}@{commit}"
    return _local(document)


def _local(document: Mapping[str, str]) -> str:
    address = urlsplit(document["url"])
    if address.scheme != "file":
        return document["url"]
    path = Path(url2pathname(address.path))
    if not path.exists():
        raise ScaffoldError(
            f"this Treeline was installed from {path}, which is there no more; say where the "
            f"repository is to get it: --framework path/to/{NAME}-{__version__}-py3-none-any.whl"
        )
    return str(path)
