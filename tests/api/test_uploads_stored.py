"""Uploads that live in a bucket: each change is whole or not there, and each replica follows."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("moto", reason="needs moto, a stand-in for S3: make setup-dev")

from botocore.config import Config

from api.errors import (
    NameElsewhereError,
    NameTakenError,
    NotRemovableError,
    StoreAwayError,
    UploadConflictError,
    UploadsFullError,
)
from api.models.bucket import cleaning
from api.models.bucket.records import UploadRecord, key_of
from api.models.catalogue import Catalogue
from api.models.stored import StoredUploads
from api.settings import Settings
from tests.api.storing import Replica, order_of, sha256_of
from tests.objects import ACCESS, Store, s3, standing_store
from tests.tiny_graphs import greedy, scaled
from tests.tiny_models import IRIS, SURVIVAL, write_model
from treeline.buckets import Bucket, bucket_at
from treeline.buckets import s3 as buckets
from treeline.commands.send import send
from treeline.errors import ArtifactNotFoundError, ArtifactRejectedError, ConfigError

BUCKET = "forest"
ONE, TWO, THREE = scaled(1), scaled(2), scaled(3)
SHA_1, SHA_2, SHA_3 = map(sha256_of, (ONE, TWO, THREE))

OF_ANOTHER = UploadRecord(
    name="another", change="0" * 32, changed=datetime.now(UTC), replaced=False, upload=None
).to_bytes(secret="")


@pytest.fixture(scope="module")
def standing() -> Iterator[Store]:
    with standing_store(BUCKET) as store:
        yield store


@pytest.fixture
def store(standing: Store) -> Iterator[Store]:
    yield standing
    standing.shut = standing.heedless = False


@pytest.fixture
def address(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place of its own in the bucket, which the environment opens."""
    for name, value in {**ACCESS, "AWS_ENDPOINT_URL": store.url}.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def bucket(address: str) -> Bucket:
    return bucket_at(address, place="here")


@pytest.fixture
def here(tmp_path: Path, address: str) -> Replica:
    return Replica(tmp_path / "here", address)


@pytest.fixture
def there(tmp_path: Path, address: str) -> Replica:
    return Replica(tmp_path / "there", address)


def test_what_is_uploaded_replaced_described_and_deleted_at_one_is_so_at_the_other(
    here: Replica, there: Replica
) -> None:
    assert here.put("mine", ONE) is False
    assert here.holds() == {"mine": SHA_1}
    assert there.held() == {"mine": SHA_1}
    assert there.put("mine", TWO) is True
    assert here.held() == {"mine": SHA_2}
    here.describe("mine", SHA_2, description="twice")
    there.held()
    assert there.folder.uploads.upload("mine") == here.folder.uploads.upload("mine")
    assert there.folder.uploads.upload("mine").description == "twice"
    there.remove("mine")
    assert there.holds() == {}
    assert here.held() == {}
    assert here.forgotten == there.forgotten == ["mine"]
    assert here.put("mine", THREE) is False
    assert there.held() == {"mine": SHA_3}


def test_a_change_is_made_at_a_replica_that_has_not_seen_the_last_one(
    here: Replica, there: Replica
) -> None:
    here.put("mine", ONE)
    assert there.put("mine", TWO) is True
    with pytest.raises(ArtifactNotFoundError, match="replaced meanwhile"):
        here.describe("mine", SHA_1, description="once")
    here.remove("mine")
    with pytest.raises(ArtifactNotFoundError, match="no upload 'mine'"):
        there.remove("mine")
    assert there.held() == here.held() == {}


def test_only_what_has_changed_is_asked_for(here: Replica, there: Replica, store: Store) -> None:
    for name in ("one", "two", "three"):
        here.put(name, ONE)
    there.held()
    store.asked.clear()
    there.held()
    assert [method for method, _ in store.asked] == ["GET"], "the list alone"
    here.put("two", TWO)
    store.asked.clear()
    assert there.held() == {"one": SHA_1, "two": SHA_2, "three": SHA_1}
    assert len(store.asked) == 3, "the list, the object of the model, its graph"


def test_after_a_restart_nothing_is_fetched_that_is_here(
    here: Replica, there: Replica, store: Store
) -> None:
    here.put("mine", ONE)
    there.held()
    there.restart()
    store.asked.clear()
    assert there.held() == {"mine": SHA_1}
    assert not [path for _, path in store.asked if "/uploads/files/" in path]
    graph = there.folder.uploads.graph("mine", there.folder.uploads.upload("mine"))
    Path(graph.path).write_bytes(b"damaged on this machine")
    there.restart()
    assert there.held() == {"mine": SHA_1}
    assert Path(graph.path).read_bytes() == ONE.SerializeToString()


def put(replica: Replica) -> None:
    replica.put("mine", THREE)


def describe(replica: Replica) -> None:
    replica.describe("mine", SHA_1, description="once")


def remove(replica: Replica) -> None:
    replica.remove("mine")


CHANGES = [put, describe, remove]


@pytest.mark.parametrize("first", CHANGES)
@pytest.mark.parametrize("second", CHANGES)
def test_of_two_changes_at_once_the_first_counts_and_the_second_is_told(
    here: Replica,
    there: Replica,
    store: Store,
    first: Callable[[Replica], None],
    second: Callable[[Replica], None],
) -> None:
    here.put("mine", ONE)
    there.held()
    held = store.hold("PUT", "/uploads/models/mine.json")
    told: list[Exception] = []

    def late() -> None:
        try:
            second(here)
        except Exception as error:
            told.append(error)

    thread = Thread(target=late)
    thread.start()
    assert held.arrived.wait(60)
    first(there)
    held.let_go()
    thread.join()
    assert [type(error) for error in told] == [UploadConflictError]
    assert "that change counts" in str(told[0])
    assert here.held() == there.holds()


def test_two_that_upload_a_new_name_at_once_or_its_twin_are_not_both_served(
    here: Replica, there: Replica, store: Store
) -> None:
    held = store.hold("PUT", "/uploads/models/my-model.json")
    order = here.put_later("my-model", ONE)
    here.changer.step()
    assert held.arrived.wait(60)
    there.put("my_model", TWO)
    held.let_go()
    with pytest.raises(UploadConflictError):
        here.result(order)
    assert here.held() == there.held() == {"my_model": SHA_2}
    with pytest.raises(NameTakenError, match="a model 'my_model'"):
        here.put("my-model", ONE)
    here.remove("my_model")
    there.put("my-model", ONE)
    assert here.held() == {"my-model": SHA_1}


def test_an_answer_that_is_lost_is_asked_for_and_the_change_was_made_once(
    here: Replica, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client asks a second time, and is told that its own change was there first."""
    monkeypatch.setattr(buckets, "CONFIG", buckets.CONFIG.merge(Config(read_timeout=2)))
    here.restart()
    held = store.hold("PUT", "/uploads/models/mine.json", answered=True)
    order = here.put_later("mine", ONE)
    here.changer.step()
    assert held.arrived.wait(60)
    assert here.result(order) is False  # the first answer never comes
    held.let_go()
    assert here.held() == {"mine": SHA_1}


@pytest.mark.parametrize(
    ("path", "answered", "made"),
    [
        ("/uploads/files/", False, False),
        ("/uploads/files/", True, False),
        ("/uploads/models/", False, False),
        ("/uploads/models/", True, True),
    ],
    ids=["before the graph", "after the graph", "before the record", "after the record"],
)
def test_a_follower_that_is_killed_has_changed_all_or_nothing_and_the_next_one_says_which(
    here: Replica, store: Store, path: str, *, answered: bool, made: bool
) -> None:
    held = store.hold("PUT", path, answered=answered)
    with here.followed() as process:
        order = here.put_later("mine", ONE)
        assert held.arrived.wait(60)
        process.kill()
        process.wait()
        held.let_go(lost=True)
    assert here.folder.taken() == [order.id]
    with here.followed():
        if made:
            assert here.answered(order) is False
            assert here.holds() == {"mine": SHA_1}
        else:
            with pytest.raises(StoreAwayError, match="interrupted before it was made"):
                here.answered(order)
            assert here.holds() == {}
    here.restart()
    assert here.held() == ({"mine": SHA_1} if made else {})


def test_a_store_that_is_away_changes_nothing_and_takes_nothing_back(
    here: Replica, there: Replica, store: Store
) -> None:
    here.put("mine", ONE)
    there.held()
    store.shut = True
    for change in CHANGES:
        with pytest.raises(StoreAwayError, match="takes no change now; try again later"):
            change(there)
    assert there.held() == {"mine": SHA_1}
    assert "503" in there.folder.away()
    there.restart()
    assert there.held() == {"mine": SHA_1}
    store.shut = False
    here.put("mine", TWO)
    here.put("other", THREE)
    assert there.held() == {"mine": SHA_2, "other": SHA_3}
    assert there.folder.away() == ""


def test_a_store_that_heeds_no_conditions_gets_no_uploads(
    here: Replica, store: Store, bucket: Bucket
) -> None:
    store.heedless = True
    with pytest.raises(StoreAwayError, match="does not heed If-Match and If-None-Match"):
        here.put("mine", ONE)
    assert not list(bucket.entries("uploads/models/")) + list(bucket.entries("uploads/files/"))


def harmed(store: Store, address: str, key: str, payload: bytes | None) -> None:
    at = {"Bucket": BUCKET, "Key": f"{address.rpartition('/')[2]}/{key}"}
    if payload is None:
        s3(store.url).delete_object(**at)
    else:
        s3(store.url).put_object(**at, Body=payload)


def test_a_graph_that_is_damaged_or_gone_there_holds_up_nothing_and_is_not_fetched_at_each_look(
    here: Replica, there: Replica, store: Store, address: str
) -> None:
    here.put("mine", ONE)
    there.held()
    here.put("mine", TWO)
    here.put("other", THREE)
    key = f"uploads/files/{SHA_2}"
    harmed(store, address, key, b"x" * len(TWO.SerializeToString()))
    assert there.held() == {"mine": SHA_1, "other": SHA_3}
    assert "its bytes are not those of its name" in there.folder.problems()["mine"]
    assert there.folder.away() == ""
    bytes_before = store.sent
    for _ in range(3):
        there.held()
    assert store.sent - bytes_before < 3 * 4000, "a list and a record each time, no graph"
    harmed(store, address, key, None)
    assert there.held()["mine"] == SHA_1
    assert "is not there" in there.folder.problems()["mine"]
    harmed(store, address, key, TWO.SerializeToString())
    assert there.held() == {"mine": SHA_2, "other": SHA_3}
    assert there.folder.problems() == {}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"{", "is no record of an upload"),
        (b'{"format": 2}', "is no record of an upload"),
        (b"x" * (2 << 20), "is longer than"),
        (OF_ANOTHER, "is the record of 'another'"),
    ],
    ids=["cut off", "of a later format", "too long", "of another model"],
)
def test_an_object_that_is_no_record_is_told_and_mended_by_the_next_change(
    here: Replica, there: Replica, store: Store, document: bytes, words: str
) -> None:
    here.put("mine", ONE)
    here.put("other", TWO)
    address = here.address
    harmed(store, address, key_of("mine"), document)
    assert there.held() == {"other": SHA_2}
    assert words in there.folder.problems()["mine"]
    if len(document) < 1 << 20:
        there.put("mine", THREE)
        assert here.held() == {"mine": SHA_3, "other": SHA_2}
    harmed(store, address, key_of("mine"), None)
    assert there.held() == here.held() == {"other": SHA_2}
    assert there.folder.problems() == {}


def test_each_replica_tries_what_it_fetches_and_serves_nothing_that_fails(
    here: Replica, there: Replica, store: Store
) -> None:
    """Who may write to the bucket need not have had it tried; here nobody has."""
    here.put("mine", ONE)
    there.held()
    here.put("mine", greedy())
    assert there.held() == {"mine": SHA_1}
    assert "mine is refused here" in there.folder.problems()["mine"]
    store.asked.clear()
    assert there.held() == {"mine": SHA_1}
    assert not [path for _, path in store.asked if "/uploads/files/" in path], "until a while later"


def test_with_a_secret_only_what_a_service_has_written_is_served(
    tmp_path: Path, address: str, store: Store
) -> None:
    here, there = (
        Replica(tmp_path / name, address, uploads_secret="one") for name in ("here", "there")
    )
    stranger = Replica(tmp_path / "stranger", address, uploads_secret="another")
    here.put("mine", ONE)
    assert there.held() == {"mine": SHA_1}
    stranger.put("yours", TWO)
    stranger.put("mine", TWO)
    assert there.held() == {"mine": SHA_1}
    assert "API_UPLOADS_SECRET" in there.folder.problems()["yours"]
    at = f"{BUCKET}/{address.rpartition('/')[2]}/{key_of('mine')}"
    document = json.loads(
        s3(store.url).get_object(Bucket=BUCKET, Key=at.partition("/")[2])["Body"].read()
    )
    assert document["seal"] and "another" not in json.dumps(document)
    there.put("mine", THREE)
    assert here.held() == {"mine": SHA_3}


def test_names_are_taken_across_releases_uploads_and_jobs_of_all_replicas(
    tmp_path: Path, address: str, here: Replica, there: Replica
) -> None:
    write_model(tmp_path / "checkout" / "model", SURVIVAL)
    write_model(tmp_path / "checkout" / "model", IRIS)
    send(tmp_path / "checkout", address)
    with pytest.raises(NotRemovableError, match="only treeline send changes those"):
        here.put(IRIS.name, ONE)
    with pytest.raises(NameTakenError, match="'tree-survival'"):
        here.put("tree_survival", ONE)
    here.put("made", ONE, owner="ann")
    with pytest.raises(NameTakenError, match="made by a job of another key"):
        there.put("made", TWO, owner="bob")
    assert there.put("made", TWO, owner="ann") is True
    here.put("mine", ONE)
    with pytest.raises(NameTakenError, match="was uploaded, or made by a job"):
        there.put("mine", TWO, owner="ann")
    assert there.held() == here.held() == {"made": SHA_2, "mine": SHA_1}
    (tmp_path / "checkout" / "model" / IRIS.name / "signature.json").unlink()
    assert "0 of 2 files were new" in send(tmp_path / "checkout", address)
    assert there.held() == {"made": SHA_2, "mine": SHA_1}, "what is sent touches no uploads"


def test_a_group_holds_the_uploads_of_its_names_and_takes_no_others(
    tmp_path: Path, address: str, here: Replica
) -> None:
    large = Replica(tmp_path / "large", address, models_named="large-*")
    here.put("large-one", ONE)
    here.put("small", TWO)
    assert large.held() == {"large-one": SHA_1}
    for change in (
        lambda: large.put("small", ONE),
        lambda: large.remove("small"),
    ):
        with pytest.raises(NameElsewhereError, match="API_MODELS_NAMED is 'large-\\*' here"):
            change()
    small = Replica(tmp_path / "small", address, leave_out="small")
    with pytest.raises(NameElsewhereError, match="API_LEAVE_OUT names it"):
        small.put("small", ONE)
    assert small.held() == {"large-one": SHA_1}
    large.given["models_named"] = "none-*"
    large.restart()
    assert large.held() == {}


def test_there_may_be_so_many_uploads_and_so_large_ones(
    tmp_path: Path, address: str, here: Replica
) -> None:
    small = Replica(tmp_path / "small", address, max_uploads=2)
    here.put("one", ONE)
    here.put("two", TWO)
    assert small.held() == {"one": SHA_1, "two": SHA_2}
    with pytest.raises(UploadsFullError, match="API_MAX_UPLOADS admits 2"):
        small.put("three", THREE)
    here.put("three", THREE)
    assert small.held() == {"one": SHA_1, "two": SHA_2}
    assert "API_MAX_UPLOADS admits 2" in small.folder.problems()["three"]
    here.remove("one")
    assert small.held() == {"two": SHA_2, "three": SHA_3}
    short = Replica(tmp_path / "short", address, max_upload_bytes=10)
    assert short.held() == {}
    assert "API_MAX_UPLOAD_BYTES admits 10 here" in short.folder.problems()["two"]


def test_an_order_that_nobody_takes_up_is_withdrawn_and_one_that_is_taken_is_not(
    here: Replica,
) -> None:
    order = here.put_later("mine", ONE)
    assert here.folder.withdraw(order.id)
    here.changer.step()
    assert not list((here.folder.folder / "orders").iterdir())
    order = here.put_later("mine", ONE)
    here.result(order)
    assert not here.folder.withdraw(order.id)
    assert not list((here.folder.folder / "orders").iterdir())
    assert here.held() == {"mine": SHA_1}


def test_an_order_that_cannot_be_read_is_answered_and_holds_up_no_other(here: Replica) -> None:
    broken = order_of("remove", "mine")
    (here.folder.folder / "orders" / f"{broken.id}.order").write_text("{")
    assert here.put("mine", ONE) is False
    with pytest.raises(StoreAwayError, match="cannot be read"):
        here.result(broken)


def test_what_no_upload_names_is_removed_after_a_while_and_nothing_else(
    here: Replica, there: Replica, bucket: Bucket, store: Store, address: str
) -> None:
    here.put("mine", ONE)
    here.put("mine", TWO)
    here.put("gone", THREE)
    here.remove("gone")
    bucket.write("files/" + SHA_3, b"of a release")
    now = datetime.now(UTC)
    assert "0 graphs" in cleaning.clean(bucket, now=now)
    said = cleaning.clean(bucket, now=now + timedelta(days=2))
    assert "2 graphs that no upload names were removed, and 0 objects" in said
    said = cleaning.clean(bucket, now=now + timedelta(days=31))
    assert "0 graphs that no upload names were removed, and 1 objects" in said
    assert [each.key for each in bucket.entries("uploads/models/")] == [key_of("mine")]
    assert [each.key for each in bucket.entries("files/")] == [f"files/{SHA_3}"]
    assert there.held() == here.held() == {"mine": SHA_2}
    here.put("gone", THREE)
    here.remove("gone")
    store.heedless = True
    said = cleaning.clean(bucket, now=now + timedelta(days=31))
    assert "1 objects that say so stay" in said
    store.heedless = False
    harmed(store, address, key_of("mine"), b"{")
    with pytest.raises(ArtifactRejectedError, match="is no record of an upload"):
        cleaning.clean(bucket, now=now + timedelta(days=31))
    assert f"uploads/files/{SHA_2}" in [each.key for each in bucket.entries("uploads/files/")]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"models": ""}, "API_UPLOADS: 'store' is where API_MODELS says"),
        ({"trusted_signers": "ann"}, "set API_UPLOADS_SECRET"),
    ],
)
def test_settings_that_do_not_fit_are_refused_at_the_start(
    tmp_path: Path, address: str, settings: dict[str, str], words: str
) -> None:
    given: dict[str, Any] = {"models": address, "uploads": "store", "state_dir": tmp_path}
    with pytest.raises(ConfigError, match=words):
        StoredUploads(Settings(**given | settings), Catalogue({}))
