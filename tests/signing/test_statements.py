"""A statement that a trusted signer has signed is believed; any other is refused, with a reason."""

import base64
import json
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest

from tests.answering import TensorEndpoint, answering
from tests.signed import KEYLESS, KeyPair, also_keyless, key_pair, take_sigstore_away
from treeline.errors import (
    ConfigError,
    SignatureUncheckedError,
    SigningError,
    UntrustedArtifactError,
)
from treeline.signing import (
    RELEASE,
    Statement,
    WorkflowIdentity,
    signing_function,
    verifying_function,
)

NOW = datetime(2026, 11, 27, tzinfo=UTC)
STATEMENT = Statement(RELEASE, {"model/iris/signature.json": "a" * 64}, {"commit": "c" * 40})
OURS, OTHERS, FORMER = key_pair(), key_pair(), key_pair()
Change = Callable[[str], str]


def signed_by(key: KeyPair) -> str:
    return signing_function()(STATEMENT, key=key.private, workflow=None)


def verified(envelope: str, signers: str, folder: Path) -> Statement:
    path = folder / "signers"
    path.write_text(signers, encoding="utf-8")
    verify = verifying_function(place="API_TRUSTED_SIGNERS")
    return verify(envelope.encode(), path, place="release.dsse.json", now=NOW)


def listed(*keys: KeyPair, **more: str) -> str:
    return json.dumps({"signers": [{"name": "laptop", "key": key.public, **more} for key in keys]})


def with_payload(change: Change) -> Change:
    def changed(envelope: str) -> str:
        document = json.loads(envelope)
        payload = change(base64.b64decode(document["payload"]).decode())
        return json.dumps(document | {"payload": base64.b64encode(payload.encode()).decode()})

    return changed


def as_it_is(envelope: str) -> str:
    return envelope


TRUSTED = {
    "one key as PEM": OURS.public,
    "a key that is rotated: the former and the next": FORMER.public + OURS.public,
    "a key of a list": listed(OTHERS, OURS),
    "a key that expires later": listed(OURS, expires="2026-11-28T00:00:00Z"),
}


@pytest.mark.parametrize("signers", TRUSTED.values(), ids=TRUSTED)
def test_a_statement_of_a_trusted_signer_is_believed(signers: str, tmp_path: Path) -> None:
    assert verified(signed_by(OURS), signers, tmp_path) == STATEMENT


@pytest.mark.parametrize(
    "made_by",
    [
        "-algorithm ed25519",
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
    ],
)
def test_a_key_of_openssl_signs_and_its_public_half_is_trusted(
    made_by: str, tmp_path: Path
) -> None:
    words = ["openssl", "genpkey", *made_by.split()]
    private = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    words = ["openssl", "pkey", "-pubout"]
    public = subprocess.run(words, input=private, check=True, capture_output=True, text=True).stdout
    assert verified(signed_by(KeyPair(private, public)), public, tmp_path) == STATEMENT


REFUSED: dict[str, tuple[Change, str, str]] = {
    "unsigned": (
        lambda text: json.dumps(json.loads(text) | {"signatures": []}),
        OURS.public,
        "none of the trusted signers",
    ),
    "no envelope": (lambda text: "{}", OURS.public, "is no signed statement"),
    "no JSON": (lambda text: "signed!", OURS.public, "is no signed statement"),
    "signed by another key": (as_it_is, OTHERS.public, "none of the trusted signers"),
    "another digest": (
        with_payload(lambda text: text.replace("a" * 64, "b" * 64)),
        OURS.public,
        "does not hold",
    ),
    "another commit": (
        with_payload(lambda text: text.replace("c" * 40, "d" * 40)),
        OURS.public,
        "does not hold",
    ),
    "another kind of payload": (
        lambda text: text.replace("application/vnd.in-toto+json", "text/plain"),
        OURS.public,
        "does not hold",
    ),
    "the name of our key on another's signature": (
        lambda text: text.replace(
            json.loads(text)["signatures"][0]["sig"],
            json.loads(signed_by(OTHERS))["signatures"][0]["sig"],
        ),
        OURS.public,
        "does not hold",
    ),
    "an expired key": (
        as_it_is,
        listed(OURS, expires="2026-11-26T00:00:00Z"),
        "laptop has expired on 2026-11-26",
    ),
}


@pytest.mark.parametrize(("change", "signers", "words"), REFUSED.values(), ids=REFUSED)
def test_any_other_statement_is_refused_with_its_reason(
    change: Change, signers: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UntrustedArtifactError, match=words):
        verified(change(signed_by(OURS)), signers, tmp_path)


def test_a_statement_that_two_have_signed_is_believed_by_who_trusts_either(tmp_path: Path) -> None:
    both = json.loads(signed_by(OURS))
    both["signatures"] += json.loads(signed_by(FORMER))["signatures"]
    for signers in (OURS.public, FORMER.public):
        assert verified(json.dumps(both), signers, tmp_path) == STATEMENT


def test_where_sigstore_is_away_nothing_is_said_of_a_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that it holds nor that it does not: a server that is away proves nothing."""
    take_sigstore_away(monkeypatch, tmp_path)
    trusted = json.dumps({"signers": [KEYLESS]})
    with pytest.raises(SignatureUncheckedError, match=r"training: .*cannot be checked now"):
        verified(also_keyless(signed_by(OTHERS)), trusted, tmp_path)
    with pytest.raises(UntrustedArtifactError, match="none of the trusted signers"):
        verified(signed_by(OTHERS), trusted, tmp_path)


def test_a_trusted_key_is_believed_where_sigstore_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_sigstore_away(monkeypatch, tmp_path)
    trusted = json.dumps({"signers": [KEYLESS, {"name": "laptop", "key": OURS.public}]})
    assert verified(also_keyless(signed_by(OURS)), trusted, tmp_path).signer == "laptop"


def test_a_file_that_was_changed_or_was_not_signed_is_not_vouched_for() -> None:
    STATEMENT.check("model/iris/signature.json", "a" * 64, place="here")
    with pytest.raises(UntrustedArtifactError, match="changed after it was released"):
        STATEMENT.check("model/iris/signature.json", "b" * 64, place="here")
    with pytest.raises(UntrustedArtifactError, match="nobody has signed model/wine"):
        STATEMENT.check("model/wine/signature.json", "a" * 64, place="here")


UNREADABLE = {
    "nothing": ("", "document"),
    "no signer": ('{"signers": []}', "signers"),
    "neither a key nor a workflow": ('{"signers": [{"name": "laptop"}]}', "key. or .identity"),
    "a misspelt word": ('{"signers": [{"name": "x", "key": "x", "expire": 1}]}', "expire"),
    "a key that is none": ('{"signers": [{"name": "x", "key": "x"}]}', "is no public key"),
}


@pytest.mark.parametrize(("signers", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_of_signers_that_does_not_hold_is_refused(
    signers: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        verified(signed_by(OURS), signers, tmp_path)


def test_what_is_no_private_key_cannot_sign_and_is_not_repeated() -> None:
    with pytest.raises(SigningError, match="SIGNING_KEY") as refusal:
        signing_function()(STATEMENT, key="s3cret", workflow=None)
    assert "s3cret" not in str(refusal.value)


def test_a_run_that_cannot_say_who_it_is_cannot_sign_keyless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("GITHUB_ACTIONS", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SigningError, match="id-token: write"):
        signing_function()(STATEMENT, key="", workflow=WorkflowIdentity("https://forge/train.yml"))


class _Identity(TensorEndpoint):
    """Who says to a job who it is, as GitHub does."""

    requests: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.requests.append((self.path, self.headers["Authorization"]))
        now = int(time.time())
        claims = {"iss": "https://another.example", "sub": "somebody", "aud": "sigstore"}
        token = jwt.encode({**claims, "iat": now, "nbf": now, "exp": now + 300}, "k" * 32)
        self.reply(200, json.dumps({"value": token}).encode())


def test_a_run_proves_who_it_is_to_sigstore_and_to_nobody_in_the_name_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Up to where sigstore's own servers would be asked, which no test can."""
    requests: list[tuple[str, str]] = []
    with answering(_Identity, requests=requests) as url:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{url}/token?api=1")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")
        workflow = WorkflowIdentity("https://forge.example/train.yml@refs/heads/main")
        with pytest.raises(SigningError, match="did not match"):
            signing_function()(STATEMENT, key="", workflow=workflow)
    assert requests == [("/token?api=1&audience=sigstore", "bearer of-the-job")]
