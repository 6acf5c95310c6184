"""The name of an image and a registry → its manifest and its blobs, each held to its digest.

The agent asks the registry itself (OCI distribution API): Docker and Podman say what a tag is in
different words, and a machine without containers has neither.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, parse_http_list, parse_keqv_list, urlopen

from treeline import __version__
from treeline.errors import AgentError, RegistryAwayError, ReleaseRefusedError
from treeline.signing.names import DOCKER_HUB, full_name

TIMEOUT_SECONDS = 30.0
MANIFEST_BYTES = 4 << 20  # what registries take at most
CHUNK_BYTES = 1 << 20
LOCAL = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")
NAME = re.compile(
    r"((?P<registry>[a-z0-9-]*[.:][a-z0-9.:-]*|localhost)/)?(?P<repository>[a-z0-9._/-]+?)"
    r"(:(?P<tag>[\w][\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
HUB_LOGIN = "https://index.docker.io/v1/"  # as `docker login` writes it down; Podman: docker.io
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ACCEPTED = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


@dataclass(frozen=True)
class ImageName:
    """A name taken apart: the registry, the repository in it, and a tag or a digest."""

    registry: str
    repository: str
    reference: str

    @classmethod
    def parse(cls, text: str) -> "ImageName":
        """Take a name apart; without a registry it is Docker Hub's.

        Raises ReleaseRefusedError where it is none.
        """
        match = NAME.fullmatch(full_name(text))
        if match is None:
            raise ReleaseRefusedError(
                f"{text!r} is no name of an image; give registry/owner/name:tag"
            )
        reference = match["digest"] or match["tag"] or "latest"
        return cls(match["registry"], match["repository"], reference)

    @property
    def place(self) -> str:
        """The name without tag and digest."""
        return f"{self.registry}/{self.repository}"

    def at(self, digest: str) -> str:
        """Return the name of exactly one image of this repository."""
        return f"{self.place}@{digest}"


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index: its digest, computed here from its bytes, and its content."""

    digest: str
    document: dict[str, Any]

    @property
    def is_index(self) -> bool:
        """Whether it lists a manifest for each platform."""
        return "manifests" in self.document

    def for_platform(self, architecture: str) -> str:
        """Return the digest of the manifest for Linux on a processor.

        Raises ReleaseRefusedError where the index has none.
        """
        for each in self.document["manifests"]:
            platform = each.get("platform", {})
            if (platform.get("os"), platform.get("architecture")) == ("linux", architecture):
                return str(each["digest"])
        raise ReleaseRefusedError(f"{self.digest}: the image is not made for linux/{architecture}")


class RegistryClient:
    """One repository of a registry, as the holder of a login, or as anybody."""

    def __init__(self, name: ImageName, *, login_file: Path | None = None) -> None:
        scheme = "http" if LOCAL.fullmatch(name.registry) else "https"
        host = "registry-1.docker.io" if name.registry == DOCKER_HUB else name.registry
        self._base = f"{scheme}://{host}/v2/{name.repository}"
        self._registry, self._login_file = name.registry, login_file
        self._authorization = ""

    def digest_of(self, tag: str) -> str:
        """Return the digest that a tag leads to, as the registry says.

        Nothing is fetched, so that registries which count fetches count nothing. Raises
        RegistryAwayError where it cannot be had now.
        """
        url = f"{self._base}/manifests/{tag}"
        with self._open(url, accept=ACCEPTED, method="HEAD") as answer:
            digest = str(answer.headers.get("Docker-Content-Digest") or "")
        if not DIGEST.fullmatch(digest):
            raise RegistryAwayError(f"{url}: the registry says no digest, but {digest!r}")
        return digest

    def manifest(self, digest: str) -> Manifest:
        """Fetch the manifest of a digest.

        Raises RegistryAwayError where it cannot be had now, and ReleaseRefusedError where its bytes
        are not those that the digest stands for.
        """
        url = f"{self._base}/manifests/{digest}"
        body = self._read(url, accept=ACCEPTED)
        _hold(digest, hashlib.sha256(body).hexdigest(), url)
        return Manifest(digest, _document(body, url))

    def config(self, manifest: Manifest) -> dict[str, Any]:
        """Fetch the configuration of an image, which says when it was made, and from what."""
        digest = str(manifest.document.get("config", {}).get("digest", ""))
        url = f"{self._base}/blobs/{digest}"
        body = self._read(url)
        _hold(digest, hashlib.sha256(body).hexdigest(), url)
        return _document(body, url)

    def download(self, digest: str, target: BinaryIO) -> None:
        """Write a blob to a file that is open; raises ReleaseRefusedError where it is another."""
        url = f"{self._base}/blobs/{digest}"
        sha256 = hashlib.sha256()
        try:
            with self._open(url) as answer:
                while chunk := answer.read(CHUNK_BYTES):
                    sha256.update(chunk)
                    target.write(chunk)
                _hold_whole(answer, url)
        except (HTTPException, TimeoutError, ConnectionError) as error:
            raise RegistryAwayError(f"{url}: broke off: {error}") from error
        _hold(digest, sha256.hexdigest(), url)

    def _read(self, url: str, *, accept: str = "*/*") -> bytes:
        """Read a small document; raises RegistryAwayError where it breaks off."""
        try:
            with self._open(url, accept=accept) as answer:
                body = bytes(answer.read(MANIFEST_BYTES + 1))
                _hold_whole(answer, url)
                return body
        except (HTTPException, OSError) as error:
            raise RegistryAwayError(f"{url}: broke off: {error}") from error

    def _open(self, url: str, *, accept: str = "*/*", method: str = "GET") -> Any:
        """Open an address, with a token of the registry's where it wants one."""
        try:
            return self._request(url, accept, method)
        except HTTPError as error:
            with error:
                challenge = error.headers.get("WWW-Authenticate") or ""
            if error.code != 401 or not challenge:
                raise RegistryAwayError(f"{url}: {error.code} {error.reason}") from error
        self._authorization = self._answer_to(challenge)
        try:
            return self._request(url, accept, method)
        except HTTPError as error:
            with error:
                reason = f"{error.code} {error.reason}"
            raise RegistryAwayError(
                f"{url}: {reason}; where the image is not for everybody, log in "
                "(`docker login`) and name the file in `login_file`"
            ) from error

    def _request(self, url: str, accept: str, method: str) -> Any:
        headers = {"Accept": accept, "User-Agent": f"treeline/{__version__}"}
        request = Request(url, headers=headers, method=method)
        if self._authorization:
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            return urlopen(request, timeout=TIMEOUT_SECONDS)
        except HTTPError:
            raise
        except (URLError, OSError, HTTPException, ValueError) as error:
            raise RegistryAwayError(f"{url}: no answer: {error}") from error

    def _answer_to(self, challenge: str) -> str:
        """Return the header by which a challenge is met."""
        scheme, _, words = challenge.partition(" ")
        basic = _basic(self._login_file, self._registry) if self._login_file else ""
        if scheme.lower() != "bearer":
            return basic
        terms = parse_keqv_list(parse_http_list(words))
        realm = terms.get("realm", "")
        query = urlencode([(name, terms[name]) for name in ("service", "scope") if name in terms])
        try:
            request = Request(f"{realm}?{query}")
        except ValueError as error:
            raise RegistryAwayError(f"{realm!r}: gives no token: {error}") from error
        if basic:
            request.add_unredirected_header("Authorization", basic)
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                document = json.loads(answer.read(MANIFEST_BYTES))
        except (OSError, HTTPException, ValueError) as error:
            raise RegistryAwayError(f"{realm}: gave no token: {error}") from error
        if not isinstance(document, dict):
            raise RegistryAwayError(f"{realm}: gave no token, but {document!r}")
        return f"Bearer {document.get('token') or document.get('access_token')}"


def fetch_file(url: str) -> bytes:
    """Fetch a small file that is for everybody; raises RegistryAwayError where it cannot be had."""
    request = Request(url, headers={"User-Agent": f"treeline/{__version__}"})
    try:
        with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return bytes(answer.read(MANIFEST_BYTES))
    except (OSError, HTTPException, ValueError) as error:
        raise RegistryAwayError(f"{url}: cannot be had: {error}") from error


def _basic(path: Path, registry: str) -> str:
    """Return the header of a login that Docker or Podman has written down; empty without one."""
    try:
        logins: Mapping[str, Any] = json.loads(path.read_text("utf-8")).get("auths", {})
        named = (registry, HUB_LOGIN) if registry == DOCKER_HUB else (registry,)
        login = next((str(logins[each].get("auth", "")) for each in named if each in logins), "")
        base64.b64decode(login, validate=True)
    except (OSError, ValueError, AttributeError) as error:
        raise AgentError(f"login_file: {path}: cannot be read: {error}") from error
    return f"Basic {login}" if login else ""


def _hold_whole(answer: Any, url: str) -> None:
    """Raise RegistryAwayError where less came than was announced: read by pieces, it just ends."""
    if answer.length:
        raise RegistryAwayError(f"{url}: broke off {answer.length} bytes before its end")


def _hold(digest: str, sha256: str, url: str) -> None:
    if digest != f"sha256:{sha256}":
        raise ReleaseRefusedError(
            f"{url}: what the registry sent is sha256:{sha256}; nothing of it was run"
        )


def _document(body: bytes, url: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ReleaseRefusedError(f"{url}: is no JSON object")
    return document
