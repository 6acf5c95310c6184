"""What is fetched of a registry is limited, and never served as if it were git's."""

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

from api.inference.graph_pool import Graphs
from api.models import registered as registered_module
from api.models.catalogue import Catalogue
from api.models.exported import load_entry
from api.models.registered import RegistryReloader
from api.models.registry import fetching as fetching_module
from api.models.registry.fetching import (
    FetchedVersion,
    RegistryFetcher,
    RequestedVersion,
    StatementFollower,
)
from api.models.registry.shelf import Model, Offers, Served, Shelf, Version
from api.models.registry.versions import Versions
from api.settings import Settings
from tests.signed import AwayAtFirst, key_pair, sign_folder
from tests.tiny_models import ARTIFACT, SURVIVAL, build_graph, sign, write_model
from treeline.artifact.store import ArtifactStore
from treeline.contract.signature import VERSION_DIGITS, Signature
from treeline.errors import ArtifactRejectedError
from treeline.files import digest
from treeline.signing import STATEMENT_FILE
from treeline.signing.trust import TrustedModels

pytestmark = pytest.mark.skipif(find_spec("mlflow") is None, reason="needs mlflow: make setup-dev")

ASKED = RequestedVersion(name="tree-survival", registered="tree-survival", number="1")
MOST = 1 << 20
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Endless:
    """A source that says nothing of sizes, and sends ever more."""

    def __init__(self) -> None:
        self.sent = 0

    def files(self, name: str, number: str) -> Iterator[tuple[str, int | None]]:
        yield "model.onnx", None

    def download(self, name: str, number: str, path: str, *, into: Path) -> Path:
        with (into / path).open("wb", buffering=0) as file:
            while self.sent < 100 * MOST:
                self.sent += file.write(bytes(1 << 16))
        return into / path


class Boasting(Endless):
    """A source that says how large its file is."""

    def files(self, name: str, number: str) -> Iterator[tuple[str, int | None]]:
        yield "model.onnx", MOST + 1


@pytest.mark.parametrize(("source", "most_sent"), [(Endless(), MOST), (Boasting(), 0)])
def test_a_file_that_is_too_large_is_refused_while_it_is_fetched_and_leaves_nothing(
    tmp_path: Path, source: Endless, most_sent: int
) -> None:
    shelf = Shelf(tmp_path)
    shelf.enter().release()
    fetching = RegistryFetcher(shelf, Settings(state_dir=tmp_path, max_upload_bytes=MOST))
    with pytest.raises(ArtifactRejectedError, match="API_MAX_UPLOAD_BYTES admits 1048576"):
        fetching.fetch(source, ASKED)
    assert source.sent <= most_sent
    left = [path for path in shelf.folder.rglob("*") if path.is_file() and path.stat().st_size]
    assert left == []


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    places = {"model_dir": tmp_path / "models", "state_dir": tmp_path / "state"}
    return Settings(registry=("champion",), prediction_log=False, **places)  # type: ignore[arg-type]


@pytest.fixture
def graphs(settings: Settings) -> Iterator[Graphs]:
    graphs = Graphs(settings)
    yield graphs
    graphs.stop()


def shelved(settings: Settings) -> Signature:
    """Put a version of a model on the shelf as the follower does, served and offered."""
    shelf = Shelf(settings.state_dir)
    shelf.enter().release()
    draft = settings.state_dir / "draft"
    signature = write_model(draft, SURVIVAL)
    artifact = signature.files[ARTIFACT]
    shutil.copytree(draft / SURVIVAL.name, shelf.root(artifact) / SURVIVAL.name)
    version = artifact[:VERSION_DIGITS]
    served = Served(number="1", version=version, artifact=artifact, created=NOW)
    offered = Version(number="1", created=NOW, version=version, artifact=artifact)
    model = Model(
        name=SURVIVAL.name, registered=SURVIVAL.name, reference="models:/x@champion",
        served=served, versions=(offered,),
    )  # fmt: skip
    shelf.publish(Offers(complete=True, models=(model,)))
    return signature.model_copy(update={"version": version})


def in_git(settings: Settings, version: str) -> Catalogue:
    """Have a model in git that has a version, whatever else it is."""
    signature = write_model(settings.model_dir, SURVIVAL)
    graph = build_graph(SURVIVAL)
    signature = sign(graph, SURVIVAL, version=version)
    path = settings.model_dir / SURVIVAL.name / ARTIFACT
    path.write_bytes(graph.SerializeToString())
    signature = signature.model_copy(update={"files": {ARTIFACT: digest(path)}})
    (settings.model_dir / SURVIVAL.name / "signature.json").write_text(
        signature.document(), encoding="utf-8"
    )
    entry = load_entry(ArtifactStore(settings.model_dir), SURVIVAL.name)
    catalogue = Catalogue({SURVIVAL.name: entry})
    assert catalogue.entry(SURVIVAL.name).version == version
    return catalogue


@pytest.mark.parametrize("collides", [True, False])
def test_a_version_that_is_that_of_git_is_neither_served_nor_answers_by_its_number(
    settings: Settings, graphs: Graphs, collides: bool
) -> None:
    registered = shelved(settings)
    catalogue = in_git(settings, registered.version if collides else "0123456789ab")
    follows = RegistryReloader(settings, catalogue, lambda name, outcome: None, graphs)
    versions = Versions(catalogue, follows, settings)
    follows.look()
    entry = catalogue.entry(SURVIVAL.name)
    assert entry.origin == ("exported" if collides else "registry")
    if not collides:
        assert entry.version == registered.version
        return
    answering = asyncio.run(versions.entry(SURVIVAL.name, registered.version))
    assert answering.origin == "exported"
    with pytest.raises(ArtifactRejectedError, match="has the version of the model in git"):
        asyncio.run(versions.entry(SURVIVAL.name, "1"))


@pytest.mark.parametrize("signed", [True, False])
def test_with_trusted_signers_a_version_must_be_one_of_a_signed_release(
    settings: Settings, graphs: Graphs, signed: bool
) -> None:
    key = key_pair()
    registered = shelved(settings)
    folder = Shelf(settings.state_dir).root(registered.files[ARTIFACT])
    if signed:
        sign_folder(folder, key).replace(folder / SURVIVAL.name / STATEMENT_FILE)
    catalogue, trust = Catalogue({}), TrustedModels.of(key.public)
    RegistryReloader(settings, catalogue, lambda name, outcome: None, graphs, trust=trust).look()
    entry = catalogue.entry(SURVIVAL.name)
    assert entry.ready == signed
    assert signed or "wants the models signed" in entry.reason


def test_a_version_is_tried_again_when_its_statement_or_the_signers_change(
    settings: Settings, graphs: Graphs, tmp_path: Path
) -> None:
    """The document of the shelf says nothing of either."""
    key, another = key_pair(), key_pair()
    registered = shelved(settings)
    folder = Shelf(settings.state_dir).root(registered.files[ARTIFACT])
    signers, catalogue, outcomes = tmp_path / "signers.pem", Catalogue({}), list[str]()
    signers.write_text(another.public)
    follows = RegistryReloader(
        settings,
        catalogue,
        lambda name, outcome: outcomes.append(outcome),
        graphs,
        trust=TrustedModels.of(str(signers)),
    )

    def reason() -> str:
        follows.look()
        entry = catalogue.entry(SURVIVAL.name)
        return entry.refused if entry.ready else entry.reason

    assert "wants the models signed" in reason()
    sign_folder(folder, key).replace(folder / SURVIVAL.name / STATEMENT_FILE)
    assert "none of the trusted signers" in reason()
    signers.write_text(another.public + key.public)
    assert reason() == "" and catalogue.entry(SURVIVAL.name).ready
    signers.write_text(another.public)
    assert "none of the trusted signers" in reason()
    assert catalogue.entry(SURVIVAL.name).ready, "what is in memory is served on"
    follows.look()
    assert outcomes == ["refused", "refused", "swapped", "refused"]


def test_a_version_whose_signature_could_not_be_checked_is_tried_again_as_it_is(
    settings: Settings, graphs: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelved(settings)
    catalogue, trust = Catalogue({}), AwayAtFirst()
    follows = RegistryReloader(settings, catalogue, lambda name, outcome: None, graphs, trust=trust)
    follows.look()
    trust.answers = True
    follows.look()
    assert not catalogue.entry(SURVIVAL.name).ready, "nobody is asked at every look"
    trust.answers = False
    monkeypatch.setattr(registered_module, "UNCHECKED_SECONDS", 0.0)
    again = RegistryReloader(settings, catalogue, lambda name, outcome: None, graphs, trust=trust)
    again.look()
    assert "cannot be checked now" in catalogue.entry(SURVIVAL.name).reason
    trust.answers = True
    again.look()
    assert catalogue.entry(SURVIVAL.name).ready


class Releasing:
    """A source with one version, which may have a signed statement beside its files."""

    def __init__(self) -> None:
        self.statement: bytes | None = None
        self.looks = 0

    def files(self, name: str, number: str) -> Iterator[tuple[str, int | None]]:
        self.looks += 1
        yield "version/artifact/model.onnx", 1
        if self.statement is not None:
            yield f"version/{STATEMENT_FILE}", len(self.statement)

    def download(self, name: str, number: str, path: str, *, into: Path) -> Path:
        assert self.statement is not None and path.endswith(STATEMENT_FILE), "the graph is here"
        (into / STATEMENT_FILE).write_bytes(self.statement)
        return into / STATEMENT_FILE


def test_the_statement_of_a_version_is_fetched_when_it_comes_after_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the version becomes named, and now and then as long as it is."""
    artifact = shelved(settings).files[ARTIFACT]
    shelf, source = Shelf(settings.state_dir), Releasing()
    statements = StatementFollower(RegistryFetcher(shelf, settings))
    named = {ASKED: FetchedVersion(artifact, artifact[:VERSION_DIGITS])}
    path = shelf.root(artifact) / SURVIVAL.name / STATEMENT_FILE
    statements.follow(source, named)
    assert not path.exists()
    source.statement = b"by the first key"
    statements.follow(source, named)
    assert not path.exists() and source.looks == 1, "a registry is not asked at every look"
    statements.follow(source, {})
    statements.follow(source, named)
    assert path.read_bytes() == b"by the first key"
    source.statement = b"by the next key"
    monkeypatch.setattr(fetching_module, "STATEMENT_SECONDS", 0.0)
    statements.follow(source, named)
    assert path.read_bytes() == b"by the next key"
