"""What is fetched of a registry is limited, and never served as if it were git's."""

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

from api.inference.graph_pool import Graphs
from api.models.catalogue import Catalogue
from api.models.exported import load_entry
from api.models.registered import RegistryReloader
from api.models.registry.fetching import RegistryFetcher, RequestedVersion
from api.models.registry.shelf import Model, Offers, Served, Shelf, Version
from api.models.registry.versions import Versions
from api.settings import Settings
from tests.signed import key_pair, sign_folder
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
