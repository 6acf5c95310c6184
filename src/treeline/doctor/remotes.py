"""The DVC remote of a clone → findings: which it is, what is set for it, whether it answers."""

import json
import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from dvc_gdrive import GDriveFileSystem

from treeline.delivery import storage
from treeline.delivery.processes import run
from treeline.doctor.finding import Finding, State
from treeline.errors import DeliveryError, StorageError

Variables = Mapping[str, str]

RECORDED = ("dvc.lock", "*.dvc")  # where DVC writes down what there is to keep
# What .dvc/config declares for others to change.
EXAMPLES = frozenset({"s3://treeline/dvc", "gdrive://root/treeline"})
FOLDER_ID = re.compile(r"[A-Za-z0-9_-]{15,}")  # they have 19 to 33 characters
AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
AWS_OPTIONS = ("access_key_id", "profile", "credentialpath")
SERVER = "AWS_ENDPOINT_URL"
BLOCKED = GDriveFileSystem.DEFAULT_GDRIVE_CLIENT_ID  # DVC's own OAuth client
OWN_CLIENT = (
    "make a client of your own, for Google blocks the one built into DVC: docs/remotes.md, `gdrive`"
)
TESTING = (
    "while its consent screen says `testing`, the token dies after seven days: publish the screen"
)
SHARED_DRIVE = (
    "the folder must be on a shared drive with the account as a member, for a service account has "
    "no space of its own"
)
SERVICE_OPTION = "gdrive_use_service_account"
KINDS = {
    "": "a folder, for machines that have it: runners of GitHub's own do not",
    "azure": "a container of Azure",
    "gdrive": "a folder on Google Drive",
    "gs": "a bucket of Google Cloud",
    "s3": "an S3 bucket",
}
PACKAGES = {"azure": "adlfs", "gs": "gcsfs"}  # by which DVC reaches them


def remote(environment: Variables) -> list[Finding]:
    """Say which remote it is and look at what is set for it, without asking it.

    A URL in the environment is made the remote of the clone, as every command does.
    """
    try:
        name = storage.shared()
        options = _options(name) if name else {}
    except DeliveryError as error:
        complaint = str(error).splitlines()[-1].removeprefix("ERROR: ")
        way_out = f"give {storage.URL} as s3://…, gdrive://… or a folder outside the clone"
        return [Finding(State.WRONG, "remote", complaint, way_out)]
    if name is None:
        return [_own(environment)]
    kind = options["url"].partition("://")[0] if "://" in options["url"] else ""
    unknown = f"of the kind {kind}, whose settings are not looked at here"
    look = {"azure": cloud, "gdrive": gdrive, "gs": cloud, "s3": s3}.get(kind)
    more = look(options, environment) if look else []
    return [Finding(State.OK, "remote", f"`{name}`, {KINDS.get(kind, unknown)}"), *more]


def answer(offline: Iterable[Finding]) -> Finding:
    """Ask the remote what it lacks, unless it is known already that it is not to be reached."""
    if any(each.state is State.WRONG for each in offline):
        return Finding(State.OPTIONAL, "answer", "not asked; put right first what is wrong above")
    recorded = ("git", "ls-files", "--cached", "--others", "--exclude-standard", *RECORDED)
    if not run(*recorded).strip():
        message = "not asked, for there is nothing here yet that it could have"
        return Finding(State.OPTIONAL, "answer", message, "make repro first")
    try:
        lacking = storage.missing()
    except StorageError as error:
        return Finding(State.WRONG, "answer", str(error).rpartition(";")[0])
    return _lacking(lacking)


def s3(options: Variables, environment: Variables) -> list[Finding]:
    """Look at what is set for an S3 bucket."""
    findings = [_bucket(options["url"]), _keys(options, environment)]
    servers = {SERVER: environment.get(SERVER, ""), "endpointurl": options.get("endpointurl", "")}
    for place, url in servers.items():
        if url and is_url(url):
            findings.append(Finding(State.OK, place, url))
        elif url:
            way_out = "give one with its scheme, e.g. https://storage.example.org"
            findings.append(Finding(State.WRONG, place, f"{url!r} is no URL", way_out))
    return findings


def cloud(options: Variables, environment: Variables) -> list[Finding]:
    """Look at what is set for a container of Azure or a bucket of Google Cloud."""
    kind = options["url"].partition("://")[0]
    package, (_, variable) = PACKAGES[kind], storage.SECRETS[kind]
    if find_spec(package) is None:
        message = f"`{package}`, by which DVC reaches it, is not installed"
        return [Finding(State.WRONG, "packages", message, f"make setup {storage.URL}={kind}://…")]
    if environment.get(variable):
        return [Finding(State.OK, "credentials", f"{variable} is set")]
    message = f"{variable} not set; left is the login of this machine"
    return [Finding(State.OPTIONAL, "credentials", message, f"set {variable}")]


def gdrive(options: Variables, environment: Variables) -> list[Finding]:
    """Look at what is set for a folder on Google Drive."""
    data = environment.get(storage.CREDENTIALS, "")
    credentials = _given(data, options) if data else _configured(options)
    return [_folder(options["url"]), credentials]


def is_url(text: str) -> bool:
    """Tell whether a text is the address of a server."""
    try:
        parts = urlsplit(text)
        return bool(
            parts.scheme in {"http", "https"}
            and parts.hostname
            and parts.port != 0
            and not re.search(r"\s", text)
        )
    except ValueError:
        return False


def _own(environment: Variables) -> Finding:
    if environment.get(storage.URL):
        message = f"{storage.URL} names a folder inside this clone, which nobody else has"
        return Finding(State.WRONG, "remote", message, "give s3://…, gdrive://… or another folder")
    message = (
        "the clone's own folder: all works here, but workflows train from the sources each time, "
        "write nothing back and deploy nothing"
    )
    return Finding(
        State.OPTIONAL,
        "remote",
        message,
        f"set {storage.URL}, or dvc remote default: docs/remotes.md",
    )


def _lacking(lacking: list[str]) -> Finding:
    if not lacking:
        return Finding(State.OK, "answer", "it has every output of this checkout")
    if lost := storage.irreplaceable(lacking):
        message = f"it lacks {', '.join(lost)}, which nothing makes anew"
        return Finding(State.WRONG, "answer", message, "whoever has the file stores it: dvc push")
    message = f"it lacks {', '.join(lacking)}; the next training makes and stores what is missing"
    return Finding(State.OPTIONAL, "answer", message, "to store it now: make repro, dvc push")


def _options(name: str) -> dict[str, str]:
    prefix = f"remote.{name}."
    known = storage.settings().items()
    return {key.removeprefix(prefix): value for key, value in known if key.startswith(prefix)}


def _bucket(url: str) -> Finding:
    bucket = url.removeprefix("s3://").partition("/")[0]
    if url in EXAMPLES or not bucket:
        way_out = "dvc remote modify s3 url s3://your-bucket/your-folder"
        return Finding(State.WRONG, "bucket", f"{url} is only the example of .dvc/config", way_out)
    return Finding(State.OK, "bucket", "is named")


def _keys(options: Variables, environment: Variables) -> Finding:
    place = "credentials"
    lacking = [name for name in AWS_KEYS if not environment.get(name)]
    if len(lacking) == 1:
        return Finding(
            State.WRONG, place, f"{lacking[0]} not set", "a key has two halves: set both"
        )
    if not lacking:
        return Finding(State.OK, place, "a key in the environment")
    if environment.get("AWS_PROFILE") or any(options.get(name) for name in AWS_OPTIONS):
        return Finding(State.OK, place, "a profile, or a key of the clone's own")
    message = (
        "neither a key nor a profile is named; left are the default profile and a machine's role"
    )
    return Finding(State.OPTIONAL, place, message, f"set {' and '.join(AWS_KEYS)}")


def _folder(url: str) -> Finding:
    folder = url.removeprefix("gdrive://").partition("/")[0]
    if url in EXAMPLES or not FOLDER_ID.fullmatch(folder):
        way_out = "give gdrive:// and the last part of the folder's address in the browser"
        return Finding(State.WRONG, "folder", f"{url} has no id of a folder", way_out)
    return Finding(State.OK, "folder", "has an id")


def _given(data: str, options: Variables) -> Finding:
    """Look at the credentials in the environment, which go before any file."""
    document, for_machines = _parsed(data), _for_machines(options)
    place, kind = storage.CREDENTIALS, document.get("type")
    if kind == "service_account" and for_machines:
        return Finding(State.OK, place, f"a service account: {SHARED_DRIVE}")
    if kind == "service_account" or (for_machines and document):
        value = str(not for_machines).lower()
        message = f"{SERVICE_OPTION} of the remote does not fit these credentials"
        way_out = f"dvc remote modify --local NAME {SERVICE_OPTION} {value}"
        return Finding(State.WRONG, place, message, way_out)
    if not (document.get("client_id") and document.get("refresh_token")):
        message = "neither a service account nor an account with a refresh token, as JSON"
        return Finding(
            State.WRONG, place, message, "give the whole file: docs/remotes.md, `gdrive`"
        )
    if document["client_id"] == BLOCKED:
        return Finding(State.WRONG, place, "of the client built into DVC", OWN_CLIENT)
    return Finding(State.OK, place, f"an account with a client of its own: {TESTING}")


def _configured(options: Variables) -> Finding:
    """Look at the credentials that the clone's own settings name."""
    place = storage.CREDENTIALS
    if _for_machines(options):
        return _key_file(options)
    if options.get("gdrive_user_credentials_file"):
        return Finding(State.OK, place, f"not set; a file is named for them: {TESTING}")
    if options.get("gdrive_client_id", BLOCKED) == BLOCKED:
        return Finding(State.WRONG, place, "not set, and no client of your own either", OWN_CLIENT)
    if not options.get("gdrive_client_secret"):
        return Finding(State.WRONG, place, "not set; gdrive_client_id has no gdrive_client_secret")
    return Finding(State.OK, place, f"not set; a client of your own is named: {TESTING}")


def _key_file(options: Variables) -> Finding:
    place, option = storage.CREDENTIALS, "gdrive_service_account_json_file_path"
    if options.get(option):
        return Finding(State.OK, place, f"not set; a key file is named: {SHARED_DRIVE}")
    return Finding(State.WRONG, place, "not set, and no key file is named", f"set it, or {option}")


def _for_machines(options: Variables) -> bool:
    return options.get(SERVICE_OPTION, "").lower() == "true"


def _parsed(data: str) -> dict[str, Any]:
    """Return a JSON document; an empty one when it is none."""
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
