"""With trusted signers, only models of a release that one of them has signed are opened."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.formats.rows import Job
from api.inference.parts import model_of
from api.models import exported
from api.models.exported import ModelReloader
from api.settings import Settings
from tests.signed import AwayAtFirst, key_pair, sign_folder
from tests.tiny_models import IRIS, SURVIVAL, write_model
from tests.waiting import wait_until
from treeline.artifact.store import ArtifactStore
from treeline.errors import ConfigError
from treeline.signing import STATEMENT_FILE
from treeline.signing.trust import TrustedModels

OFTEN = 0.05  # seconds
OURS, OTHERS = key_pair(), key_pair()
NEXT = replace(SURVIVAL, weights={"Light_ISF": 0.5, "EMF": 0.01})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A signed release of two models."""
    for recipe in (SURVIVAL, IRIS):
        write_model(tmp_path / "model", recipe)
    sign_folder(tmp_path / "model", OURS)
    return tmp_path / "model"


@pytest.fixture
def signers(tmp_path: Path) -> Path:
    path = tmp_path / "signers.pem"
    path.write_text(OURS.public)
    return path


def service(folder: Path, trusted: str) -> TestClient:
    settings = Settings(
        model_dir=folder,
        state_dir=folder.parent / "state",
        trusted_signers=trusted,
        watch_seconds=OFTEN,
        prediction_log=False,
    )
    return TestClient(create_app(settings))


@pytest.fixture
def client(folder: Path, signers: Path) -> Iterator[TestClient]:
    with service(folder, str(signers)) as client:
        yield client


def unsigned(folder: Path) -> None:
    (folder / STATEMENT_FILE).unlink()


def signed_by_another(folder: Path) -> None:
    sign_folder(folder, OTHERS)


def another_artifact(folder: Path) -> None:
    write_model(folder, NEXT)


def another_promise(folder: Path) -> None:
    path = folder / SURVIVAL.name / "signature.json"
    path.write_text(path.read_text().replace("Will this seedling die", "Will this seedling live"))


def another_entry(folder: Path) -> None:
    path = folder / STATEMENT_FILE
    path.write_text(path.read_text().replace('"payload": "ey', '"payload": "eW'))


SWAPS: dict[str, tuple[Callable[[Path], None], str]] = {
    "unsigned": (unsigned, "wants the models signed"),
    "signed by another key": (signed_by_another, "none of the trusted signers"),
    "an artifact that was swapped by hand, its signature with it": (
        another_artifact,
        "changed after it was released",
    ),
    "a contract that was edited": (another_promise, "changed after it was released"),
    "an entry that was edited": (another_entry, "does not hold"),
}


@pytest.mark.parametrize(("swap", "words"), SWAPS.values(), ids=SWAPS)
def test_what_nobody_trusted_has_signed_is_not_opened(
    swap: Callable[[Path], None], words: str, folder: Path, signers: Path
) -> None:
    swap(folder)
    with service(folder, str(signers)) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert any(words in each["message"] for each in answer.json()["errors"])
        assert client.post("/v1/predict", json=SURVIVAL.example).status_code == 503


def test_a_model_swapped_by_hand_is_refused_and_the_former_is_served_on(
    client: TestClient, folder: Path
) -> None:
    served = client.post("/v1/predict", json=SURVIVAL.example).json()
    another_artifact(folder)

    def refused() -> dict[str, str]:
        found: dict[str, str] = client.get("/readyz").json()["refused"]
        return found

    wait_until(lambda: bool(refused()), seconds=10, what="the swap is seen")
    assert "changed after it was released" in refused()[SURVIVAL.name]
    assert client.get("/readyz").json()["models"]["tree-survival"] == served["version"]
    assert "treeline_refused_models 1.0" in client.get("/metrics").text
    answer = client.post("/v1/predict", json=SURVIVAL.example).json()
    assert (answer["probability"], answer["version"]) == (served["probability"], served["version"])

    sign_folder(folder, OURS)  # a release that holds it
    wait_until(lambda: not refused(), seconds=10, what="the release is seen")
    assert client.post("/v1/predict", json=SURVIVAL.example).json()["version"] != served["version"]


def test_a_key_is_rotated_while_the_service_runs(
    client: TestClient, folder: Path, signers: Path
) -> None:
    signers.write_text(OURS.public + OTHERS.public)
    write_model(folder, NEXT)
    sign_folder(folder, OTHERS)
    before = client.get("/readyz").json()["models"]
    wait_until(
        lambda: client.get("/readyz").json()["models"] != before,
        seconds=10,
        what="the release of the next key is served",
    )
    signers.write_text(OURS.public)
    wait_until(
        lambda: len(client.get("/readyz").json()["refused"]) == 2,
        seconds=10,
        what="that the key is not trusted any more is said",
    )
    assert client.post("/v1/predict", json=SURVIVAL.example).status_code == 200


def test_a_model_whose_signature_could_not_be_checked_is_tried_again_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust, outcomes = AwayAtFirst(), list[str]()
    store = ArtifactStore(folder, trust=trust)
    reloader = ModelReloader(
        folder,
        store,
        default=None,
        changed=lambda name, outcome: outcomes.append(outcome),
        pause_seconds=OFTEN,
    )
    refused = reloader.catalogue.find(SURVIVAL.name)
    assert refused is not None and not refused.ready and "checked now" in refused.reason
    trust.answers = True
    reloader.look()
    assert not ready(reloader), "a server that is away is not asked at every look"
    monkeypatch.setattr(exported, "UNCHECKED_SECONDS", 0.0)
    write_model(folder, NEXT)
    trust.answers = False
    reloader.look()
    assert (ready(reloader), outcomes) == (False, ["refused"])
    reloader.look()
    assert outcomes == ["refused"], "nothing has changed"
    trust.answers = True
    reloader.look()
    assert (ready(reloader), outcomes) == (True, ["refused", "swapped"])


def ready(reloader: ModelReloader) -> bool:
    entry = reloader.catalogue.find(SURVIVAL.name)
    return entry is not None and entry.ready


def test_the_signers_may_stand_in_the_setting_itself(folder: Path) -> None:
    with service(folder, OURS.public) as client:
        assert client.get("/readyz").status_code == 200


def test_without_the_setting_nobody_has_to_sign(folder: Path) -> None:
    unsigned(folder)
    with service(folder, "") as client:
        assert client.get("/readyz").status_code == 200


def test_a_file_of_signers_that_is_not_there_ends_the_start(folder: Path) -> None:
    with pytest.raises(ConfigError, match="trusted signers cannot be read"):
        service(folder, str(folder / "nowhere.pem"))


def test_a_process_beside_a_worker_opens_only_what_was_signed(folder: Path, signers: Path) -> None:
    """It loads models by itself, when a worker has already opened the one that was signed."""
    version = write_model(folder, SURVIVAL).version
    forged = write_model(folder, NEXT).model_copy(update={"version": version})
    (folder / SURVIVAL.name / "signature.json").write_text(forged.document())
    job = Job(
        model_dir=folder,
        admitted=frozenset({"onnx"}),
        name=SURVIVAL.name,
        version=version,
        batch_id="1",
        given="csv",
        wanted="csv",
        most_rows=1,
        memory_bytes=1 << 20,
        trust=TrustedModels.of(str(signers)),
    )
    assert model_of(job) is None
