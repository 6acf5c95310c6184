"""What may run: what its digest says, and what somebody trusted has signed; all else is refused."""

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.agent.documents import Documents, Server
from tests.answering import answering
from tests.signed import KEYLESS, KeyPair, also_keyless, key_pair, take_sigstore_away
from treeline.agent.channels import channel_of
from treeline.agent.distribution import ImageName
from treeline.agent.settings import AgentSettings
from treeline.agent.state import Release
from treeline.agent.trust import check_of
from treeline.errors import AgentError, ConfigError, RegistryAwayError, ReleaseRefusedError
from treeline.signing import IMAGE, RELEASE, Statement, signing_function

CONFIG = {"created": "2030-01-02T03:04:05Z", "config": {"Labels": {}}}
OTHER = "sha256:" + "5" * 64


@dataclass(frozen=True)
class Registry:
    """A registry with one image, and where it is met."""

    url: str
    documents: Documents
    digest: str

    @property
    def place(self) -> str:
        return f"{self.url.removeprefix('http://')}/owner/name"

    def settings(self, **changes: Any) -> AgentSettings:
        return AgentSettings.model_validate({"image": f"{self.place}:stable", **changes})

    def put(self, path: str, document: object) -> None:
        body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.documents.bodies[path] = body

    def wanted(self, **changes: Any) -> Release | None:
        return channel_of(self.settings(**changes)).wanted(None)


@pytest.fixture
def registry() -> Iterator[Registry]:
    documents = Documents()
    config = json.dumps(CONFIG).encode()
    config_digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    manifest = json.dumps({"config": {"digest": config_digest}, "layers": []}).encode()
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    documents.digest = digest
    documents.bodies[f"/v2/owner/name/manifests/{digest}"] = manifest
    documents.bodies[f"/v2/owner/name/blobs/{config_digest}"] = config
    with answering(Server, documents=documents) as url:
        yield Registry(url, documents, digest)


def test_a_tag_leads_to_a_digest(registry: Registry) -> None:
    release = registry.wanted()
    assert release == Release(image=f"{registry.place}@{registry.digest}", made=CONFIG["created"])


HUB = ("owner/name", "docker.io/owner/name", "index.docker.io/owner/name")
PLACES = {
    **{f"{name}{end}": "docker.io/owner/name" for name in HUB for end in ("", ":1", f"@{OTHER}")},
    "debian:12": "docker.io/library/debian",
    "docker.io/debian": "docker.io/library/debian",
    "ghcr.io/owner/name:1": "ghcr.io/owner/name",
    "localhost/name": "localhost/name",
    "127.0.0.1:5000/owner/name": "127.0.0.1:5000/owner/name",
}


@pytest.mark.parametrize("name", PLACES)
def test_an_image_has_one_name_however_it_is_written(name: str) -> None:
    assert ImageName.parse(name).place == PLACES[name]


@pytest.mark.parametrize("signed", HUB)
@pytest.mark.parametrize("followed", HUB)
def test_an_image_of_docker_hub_is_trusted_however_it_was_signed(
    registry: Registry, tmp_path: Path, signed: str, followed: str
) -> None:
    registry.put("/image.dsse.json", envelope(registry, TRUSTED, name=signed))
    _check(registry, tmp_path, image=ImageName.parse(followed).at(registry.digest))
    with pytest.raises(ReleaseRefusedError, match="may not run here"):
        _check(registry, tmp_path, image=ImageName.parse(followed).at(OTHER))


def test_a_login_is_read_when_a_registry_wants_one(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert registry.wanted(login_file=path) is not None, "everybody may ask it"
    registry.documents.token = "for-who-logs-in"
    with pytest.raises(AgentError, match="login_file"):
        registry.wanted(login_file=path)
    path.write_text('{"auths": {}}')
    assert registry.wanted(login_file=path) is not None


def test_an_answer_that_breaks_off_is_no_answer(registry: Registry) -> None:
    registry.documents.broken = True
    with pytest.raises(RegistryAwayError, match="broke off"):
        registry.wanted()


def test_a_registry_that_wants_a_token_gives_one(registry: Registry) -> None:
    registry.documents.token = "for-everybody"
    release = registry.wanted()
    assert release is not None
    assert release.digest == registry.digest


def test_what_is_not_what_its_digest_says_is_refused(registry: Registry) -> None:
    registry.put(f"/v2/owner/name/manifests/{registry.digest}", {"config": {}})
    with pytest.raises(ReleaseRefusedError, match="nothing of it was run"):
        registry.wanted()


def test_a_tag_that_leads_nowhere_is_no_release(registry: Registry) -> None:
    registry.documents.digest = OTHER
    with pytest.raises(RegistryAwayError, match="404"):
        registry.wanted()


GOOD, BAD = "{place}@{digest}", "{place}@" + OTHER
LISTED = {
    "as deployed": ({"outcome": "in service", "image": GOOD}, True),
    "failed there": ({"outcome": "failed", "image": BAD, "serving": GOOD}, True),
    "failed there, and nothing before": ({"outcome": "failed", "image": BAD}, False),
}


@pytest.mark.parametrize("case", LISTED)
def test_the_list_says_which_digest_is_wanted(registry: Registry, case: str) -> None:
    document, expected = LISTED[case]
    registry.documents.digest = OTHER  # whatever the tag says
    names = {"place": registry.place, "digest": registry.digest}
    registry.put("/list.json", {key: text.format(**names) for key, text in document.items()})
    release = registry.wanted(list_url=f"{registry.url}/list.json")
    assert (release is not None and release.digest == registry.digest) == expected


@pytest.mark.parametrize("image", ["{place}:stable", "elsewhere.example/owner/name@{digest}", "?"])
def test_the_list_may_name_no_other_image(registry: Registry, image: str) -> None:
    named = image.format(place=registry.place, digest=registry.digest)
    registry.put("/list.json", {"image": named, "outcome": "in service"})
    with pytest.raises(ReleaseRefusedError):
        registry.wanted(list_url=f"{registry.url}/list.json")


TRUSTED = key_pair()
UNKNOWN = key_pair()


def envelope(registry: Registry, key: KeyPair, **changes: str) -> str:
    """Sign the image of a registry, or what is said instead of it."""
    name, digest = changes.get("name", registry.place), changes.get("digest", registry.digest)
    about = changes.get("about", IMAGE)
    statement = Statement(about, {name: digest.removeprefix("sha256:")}, {})
    return signing_function()(statement, key=key.private, workflow=None)


REFUSED = {
    "another key": (UNKNOWN, {}),
    "another digest": (TRUSTED, {"digest": OTHER}),
    "another image": (TRUSTED, {"name": "elsewhere.example/owner/name"}),
    "a statement about something else": (TRUSTED, {"about": RELEASE}),
}


def test_what_a_trusted_key_has_signed_may_run(registry: Registry, tmp_path: Path) -> None:
    registry.put("/image.dsse.json", envelope(registry, TRUSTED))
    _check(registry, tmp_path)


@pytest.mark.parametrize("case", REFUSED)
def test_what_nobody_trusted_has_signed_is_refused(
    registry: Registry, tmp_path: Path, case: str
) -> None:
    key, changes = REFUSED[case]
    registry.put("/image.dsse.json", envelope(registry, key, **changes))
    with pytest.raises(ReleaseRefusedError, match="may not run here"):
        _check(registry, tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "no JSON"])
def test_what_is_no_signature_is_refused(registry: Registry, tmp_path: Path, text: str) -> None:
    registry.put("/image.dsse.json", text)
    with pytest.raises(ReleaseRefusedError):
        _check(registry, tmp_path)


def test_a_signature_that_cannot_be_had_is_asked_for_again(
    registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(RegistryAwayError):
        _check(registry, tmp_path)


def test_a_signature_that_cannot_be_checked_now_is_checked_again(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that is refused is refused for good, and sigstore may answer the next time."""
    take_sigstore_away(monkeypatch, tmp_path)
    registry.put("/image.dsse.json", also_keyless(envelope(registry, UNKNOWN)))
    with pytest.raises(RegistryAwayError, match="cannot be checked now"):
        _check(registry, tmp_path, signers=json.dumps({"signers": [KEYLESS]}))


def test_without_the_libraries_that_verify_nothing_new_runs_and_no_run_ends_at_once(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "treeline.signing.dsse", raising=False)
    monkeypatch.setitem(sys.modules, "securesystemslib.dsse", None)
    with pytest.raises(AgentError, match=r"trusted_signers: .* needs the package"):
        _check(registry, tmp_path)


def test_whom_to_trust_needs_a_place_of_signatures(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('image = "r.example/a/b:c"\ntrusted_signers = "keys.pem"\n')
    with pytest.raises(ConfigError, match="needs `list_url`"):
        AgentSettings.read(path)


def _check(
    registry: Registry, folder: Path, *, image: str = "", signers: str = TRUSTED.public
) -> None:
    """Check an image, the registry's, by the trusted key; the envelope lies beside the list."""
    path = folder / "signers"
    path.write_text(signers)
    settings = registry.settings(list_url=f"{registry.url}/list.json", trusted_signers=path)
    check_of(settings)(Release(image=image or f"{registry.place}@{registry.digest}"))
