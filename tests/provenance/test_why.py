"""From an answer, or from a version alone, the clone leads back to everything behind it."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.checkout import Checkout
from tests.signed import digests_of, key_pair
from treeline.commands.why import why
from treeline.delivery.releasing import Entry, entered
from treeline.deployment.records import DEPLOYMENTS, Deployment
from treeline.errors import ProvenanceError
from treeline.provenance.origins import origin_of
from treeline.signing import IMAGE, RELEASE, Statement, signing_function

RECORD = {"petal length (cm)": 1.4, "petal width (cm)": 0.2}
LONG_AGO, LATER = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"


@pytest.fixture
def released(clone: Checkout, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """Return a clone whose models are released and signed, and deployed: long ago, and later on."""
    monkeypatch.chdir(clone.root)
    key = key_pair()
    (clone.root.parent / "signers.pem").write_text(key.public)
    commit = clone.run("git", "rev-parse", "HEAD").stdout.strip()
    signatures = {path.parent.name: path for path in clone.root.glob("model/*/signature.json")}
    versions = {name: version_of(path) for name, path in signatures.items()}
    entry = Entry(commit, versions, dict.fromkeys(versions, commit))
    statement = Statement(RELEASE, digests_of(clone.root / "model"), entry.to_dict())
    envelope = signing_function()(statement, key=key.private, workflow=None)
    _push(clone, entered(entry, statement=envelope))
    for number, when in enumerate((LONG_AGO, LATER)):
        deployment = Deployment(
            commit=commit,
            models=versions,
            passed=entry.passed,
            image=f"example/image@sha256:{number}",
            target="webhook",
            url="https://models.example.org",
            run="https://example.org/runs/7",
            when=when,
            outcome="in service",
            reason="",
            release=None,
        )
        _push(clone, DEPLOYMENTS.entry(asdict(deployment), message="In service"))
    return clone


def _push(clone: Checkout, refspec: str) -> None:
    """Let the clone know the new tip of a list, as a fetch does."""
    commit, _, branch = refspec.partition(":refs/heads/")
    clone.run("git", "update-ref", f"refs/remotes/origin/{branch}", commit)


def version_of(signature: Path) -> str:
    return str(json.loads(signature.read_text())["version"])


def answered(clone: Checkout, state: Path) -> tuple[str, str]:
    """Return the id of an answer that is in the log, and the version that gave it."""
    settings = Settings(model_dir=clone.root / "model", state_dir=state)
    with TestClient(create_app(settings)) as client:
        answer = client.post("/v1/models/flowers/predict", json=RECORD).json()
        client.app.services.log.settle(seconds=10)  # type: ignore[attr-defined]
    return answer["id"], answer["version"]


def test_an_answer_leads_to_log_commit_release_deployment_declaration_and_data(
    released: Checkout, tmp_path: Path
) -> None:
    name, version = answered(released, tmp_path / "state")
    log = f"sqlite:///{tmp_path / 'state' / 'predictions.sqlite'}"
    found = why(name, log=log, secret="NONE", signers=str(released.root.parent / "signers.pem"))
    document = json.loads(json.dumps(found.to_dict()))
    assert document["prediction"]["features"] == RECORD
    assert document["version"] == document["signature"]["version"] == version
    head = released.run("git", "rev-parse", "HEAD").stdout.strip()
    assert document["commit"]["id"] == document["releases"][0]["passed"] == head
    assert document["releases"][0]["signed"] == "signed by key 1"
    assert document["deployed_before"]["image"] == "example/image@sha256:0"
    assert [each["when"] for each in document["deployments"]] == [LATER, LONG_AGO]
    assert "LogisticRegression" in document["declaration"]
    cached = {each["path"] for each in document["data"] if each["cached"]}
    assert {f"dataset/flowers/{part}.parquet" for part in ("raw", "train", "test")} <= cached
    assert [each.partition(":")[0] for each in document["missing"]] == ["run"]
    for part in (
        name,
        version,
        head[:12],
        "the last before the answer",
        "petal length",
        "raw.parquet",
    ):
        assert part in found.text


def test_signatures_are_verified_where_it_is_said_whom_to_trust(released: Checkout) -> None:
    version = version_of(released.root / "model" / "flowers" / "signature.json")
    (unverified,) = origin_of("flowers", version).releases
    assert unverified.signed.startswith("signed, not verified")
    (other,) = origin_of("flowers", version, signers=key_pair().public).releases
    assert "none of the trusted signers has signed it" in other.signed


def test_a_statement_vouches_for_its_own_entry_alone(released: Checkout) -> None:
    key, tip = key_pair(), released.run("git", "rev-parse", "HEAD").stdout.strip()
    signature = released.root / "model" / "flowers" / "signature.json"
    version, digests = version_of(signature), digests_of(released.root / "model")
    entry = Entry(tip, {"flowers": version}, {"flowers": tip})
    cases = [
        (RELEASE, {**entry.to_dict(), "commit": "0" * 40}, "is another release"),
        (IMAGE, entry.to_dict(), "is another release"),
        (RELEASE, entry.to_dict(), "signed by key 1"),
    ]
    for about, content, words in cases:
        envelope = signing_function()(
            Statement(about, digests, content), key=key.private, workflow=None
        )
        _push(released, entered(entry, statement=envelope))
        newest = origin_of("flowers", version, signers=key.public).releases[0]
        assert words in newest.signed


def test_a_version_alone_is_enough_and_what_the_clone_does_not_know_is_said(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone.root)
    version = version_of(clone.root / "model" / "flowers" / "signature.json")
    clone.run("git", "commit", "--amend", "--quiet", "--message", "Train flowers\n\nRun: 4711")
    origin = why(version, log="", secret="NONE").origin
    assert (origin.model, origin.version) == ("flowers", version)
    assert origin.commit is not None
    assert origin.commit.run == "4711"
    said = [each.partition(":")[0] for each in origin.missing]
    assert said == ["release", "deployment"]


def test_what_others_push_to_branches_of_their_own_is_not_where_a_version_comes_from(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone.root)
    head = clone.run("git", "rev-parse", "HEAD").stdout.strip()
    version = version_of(clone.root / "model" / "flowers" / "signature.json")
    clone.run("git", "checkout", "--quiet", "-b", "stranger", "HEAD~1")
    clone.run("git", "checkout", "--quiet", head, "--", "model/flowers/signature.json")
    clone.run("git", "commit", "--quiet", "--message", "Mine", "--date", "2001-01-01T00:00:00Z")
    clone.run("git", "checkout", "--quiet", "main")
    assert why(version, log="", secret="NONE").origin.commit.id == head  # type: ignore[union-attr]


def test_a_version_of_two_models_is_asked_about(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone.root)
    version = version_of(clone.root / "model" / "flowers" / "signature.json")
    clone.run("git", "mv", "model/flowers/signature.json", "model/sugar/copy.json")
    clone.run("mkdir", "model/blossoms")
    clone.run("git", "mv", "model/sugar/copy.json", "model/blossoms/signature.json")
    clone.commit("Rename a model")
    assert why(version, log="", secret="NONE").origin.model == "blossoms"
    clone.run("git", "revert", "--no-edit", "HEAD")
    clone.run("mkdir", "--parents", "model/blossoms")
    clone.run("cp", "model/flowers/signature.json", "model/blossoms/signature.json")
    clone.commit("Copy a model")
    with pytest.raises(ProvenanceError, match="blossoms and of flowers"):
        why(version, log="", secret="NONE")
    assert why(version, log="", secret="NONE", model="flowers").origin.commit is not None


def test_data_that_is_not_what_the_signature_names_is_said(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone.root)
    version = version_of(clone.root / "model" / "flowers" / "signature.json")
    train = next(
        each
        for each in why(version, log="", secret="NONE").origin.data
        if each.path.endswith("train.parquet")
    )
    cache = Path(clone.run("dvc", "cache", "dir").stdout.strip(), "files", "md5")
    stored = cache / train.md5[:2] / train.md5[2:]
    os.chmod(stored, 0o600)
    stored.write_bytes(b"other rows")
    missing = why(version, log="", secret="NONE").origin.missing
    assert any("train.parquet in the cache is not what" in each for each in missing)


def test_what_is_known_nowhere_is_named(released: Checkout, tmp_path: Path) -> None:
    answered(released, tmp_path)
    log = f"sqlite:///{tmp_path / 'predictions.sqlite'}"
    cases = {
        ("0123456789ab", ""): "no signature in the history",
        ("0123456789ab", log): "the log has no such prediction",
        ("100%", log): "no id of a prediction",
    }
    for (named, url), words in cases.items():
        with pytest.raises(ProvenanceError, match=words):
            why(named, log=url, secret="NONE")


def test_a_shallow_clone_says_so(clone: Checkout, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    clone.run(
        "git", "clone", "--quiet", "--depth", "1", f"file://{clone.root}", str(tmp_path / "s")
    )
    monkeypatch.chdir(tmp_path / "s")
    with pytest.raises(ProvenanceError, match="git fetch --unshallow"):
        why("0123456789ab", log="", secret="NONE")
