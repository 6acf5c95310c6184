"""The real agent on a real engine and registry: what is released is served, whatever happens.

One machine is used by all tests: each begins with what the one before left in service.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.documents import Documents, Server
from tests.agent.homes import PATIENCE, Home, Images, home
from tests.answering import answering
from tests.container.callers import steady_callers
from tests.images import need_podman
from tests.serving import free_port
from tests.signed import key_pair
from tests.waiting import wait_until
from treeline.agent.state import StateFile
from treeline.signing import IMAGE, Statement, signing_function

PAUSE_SECONDS = 0.05  # of each of four callers, between two requests
NOWHERE = "sha256:" + "0" * 64  # of an image that no registry has
WELL = ("first", "second")


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory, shared_images: Images) -> Iterator[Home]:
    """A machine on which the first image is in service; it keeps no image that it need not."""
    folder = tmp_path_factory.mktemp("laptop")
    with home(folder, shared_images, keep={"images": 0}) as machine:
        shared_images.tag("first")
        machine.agent("run")
        yield machine


def another(machine: Home) -> str:
    """Return the name of a good image that is not in service."""
    return WELL[1] if machine.served() == WELL[0] else WELL[0]


def test_a_release_takes_over_and_no_caller_notices(laptop: Home, shared_images: Images) -> None:
    former, wanted = laptop.served(), another(laptop)
    shared_images.tag(wanted)
    with steady_callers(laptop.url, pause=PAUSE_SECONDS) as callers:
        text = laptop.agent("run")
    assert f"in service: {shared_images.name(wanted)}" in text
    assert callers.answered > 20
    assert callers.lost == []
    assert laptop.served() == wanted
    assert sorted(laptop.containers().values()) == ["exited", "running"]
    assert laptop.records()[-1] == (wanted, "in service")
    assert laptop.local_images() == {former, wanted}
    assert laptop.agent("run").startswith("in service:"), "there is nothing left to do"


# Each line that the agent prints before a step, and whether what is wanted then is good.
STEPS = {
    "pulling": True,
    "starting it": True,
    "asking it": True,
    "moving the port": True,
    "moved": True,
    "on probation": True,
    "going back": False,
    "moved back": False,
}


@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_is_killed_is_made_up_for_by_the_next(
    laptop: Home, shared_images: Images, step: str
) -> None:
    wanted, expected = another(laptop), another(laptop)
    if not STEPS[step]:
        wanted, expected = "tires", laptop.served()
        laptop.agent("retry")
    shared_images.tag(wanted)
    with steady_callers(laptop.url, pause=PAUSE_SECONDS) as callers:
        laptop.killed_at(step)
        text = laptop.agent("run")
    assert laptop.served() == expected, text
    assert callers.lost == []
    state = laptop.state
    assert (state.candidate, state.probation_seconds, state.leaving) == (None, None, "")
    assert laptop.records()[-1] == (expected, "in service")
    assert ((wanted, "failed") in laptop.records()) == (not STEPS[step])
    assert laptop.agent("run").startswith("in service:"), "there is nothing left to do"


@pytest.mark.parametrize("name", ["unready", "ends"])
def test_an_image_that_never_serves_changes_nothing(
    laptop: Home, shared_images: Images, name: str
) -> None:
    served, wanted = laptop.served(), shared_images.name(name)
    shared_images.tag(name)
    laptop.settings(patience={**PATIENCE, "ready": 3})
    with steady_callers(laptop.url, pause=PAUSE_SECONDS) as callers:
        text = laptop.agent("run")
    laptop.settings()
    assert f"{wanted} is not in service" in text
    assert callers.lost == []
    assert laptop.served() == served
    assert name not in laptop.local_images()
    assert wanted not in laptop.agent("run"), "it is not tried again"
    assert f"refused: {shared_images.digests[name]}" in laptop.status()


def test_a_person_goes_back_and_stays_there(laptop: Home, shared_images: Images) -> None:
    former, wanted = laptop.served(), another(laptop)
    shared_images.tag(wanted)
    laptop.agent("run")
    assert laptop.served() == wanted
    with steady_callers(laptop.url, pause=PAUSE_SECONDS) as callers:
        laptop.agent("back")
        laptop.agent("run")
    assert callers.lost == []
    assert laptop.served() == former
    assert "nothing ran here before" in laptop.agent("back", fails=True)
    laptop.agent("retry")
    laptop.agent("run")
    assert laptop.served() == wanted


def test_what_was_removed_comes_back_and_needs_no_network(laptop: Home) -> None:
    served = laptop.served()
    laptop.settings(image=f"127.0.0.1:{free_port()}/away/service:stable")
    try:
        laptop.engine(
            "rm", "--force", "--volumes", f"{laptop.prefix}-blue", f"{laptop.prefix}-green"
        )
        text = laptop.agent("run")
    finally:
        laptop.settings()
    assert "what is in service stays" in text
    wait_until(lambda: laptop.served() == served, seconds=20, what="it is served again")


def test_what_cannot_be_had_any_more_gives_way_to_what_is_released(
    laptop: Home, shared_images: Images
) -> None:
    served, wanted, state = laptop.served(), another(laptop), laptop.state
    assert state.live is not None
    lost = state.live.release.model_copy(update={"image": f"{shared_images.place}@{NOWHERE}"})
    live = state.live.model_copy(update={"release": lost})
    StateFile(laptop.state_dir).write(state.but(live=live, former=None))
    shared_images.tag(wanted)
    laptop.agent("run")
    assert served != wanted == laptop.served()
    assert "trouble" not in laptop.status()


def test_a_tag_that_leads_elsewhere_than_was_signed_is_never_pulled(
    laptop: Home, shared_images: Images, tmp_path: Path
) -> None:
    served, wanted, key = laptop.served(), another(laptop), key_pair()
    signed = {shared_images.place: shared_images.digests[wanted].removeprefix("sha256:")}
    text = signing_function()(Statement(IMAGE, signed, {}), key=key.private, workflow=None)
    (tmp_path / "signers.pem").write_text(key.public)
    with answering(Server, documents=Documents({"/image.dsse.json": text.encode()})) as url:
        laptop.settings(
            trusted_signers=str(tmp_path / "signers.pem"), envelope_url=f"{url}/image.dsse.json"
        )
        try:
            shared_images.tag("third")
            assert "may not run here" in laptop.agent("run", fails=True)
            assert laptop.served() == served
            assert "third" not in laptop.local_images()
            shared_images.tag(wanted)
            laptop.agent("run")
            assert laptop.served() == wanted
        finally:
            laptop.settings()


def test_a_run_leaves_another_one_alone(laptop: Home, shared_images: Images) -> None:
    shared_images.tag(another(laptop))
    with subprocess.Popen(
        laptop.command("run"), stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline().startswith("pulling")
        assert "another run of the agent is under way" in laptop.agent("run")
        assert "in service" in first.communicate(timeout=60)[0]


def test_a_full_disk_changes_nothing_and_is_made_up_for(
    laptop: Home, shared_images: Images, tmp_path: Path
) -> None:
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(tmp_path)], check=False
    ).returncode:
        pytest.skip("needs the right to mount a small file system")
    served, wanted = laptop.served(), another(laptop)
    shared_images.tag(wanted)
    try:
        shutil.copytree(laptop.state_dir, tmp_path / "state")
        laptop.settings(state_dir=str(tmp_path / "state"))
        (tmp_path / "ballast").write_bytes(b"x" * _free_bytes(tmp_path))
        text = laptop.agent("run", fails=True)
        assert "cannot be written" in text
        assert "No space left" in text
        assert laptop.served() == served
        (tmp_path / "ballast").unlink()
        laptop.agent("run")
        assert laptop.served() == wanted
        shutil.copytree(tmp_path / "state", laptop.state_dir, dirs_exist_ok=True)
    finally:
        laptop.settings()
        subprocess.run(["umount", str(tmp_path)], check=True)


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def test_podman_takes_the_same_words(shared_images: Images, tmp_path: Path) -> None:
    need_podman("pull", "--quiet", shared_images.name("first"))
    with home(tmp_path / "podman", shared_images, host="podman", options=[]) as machine:
        shared_images.tag("first")
        machine.agent("run")
        assert machine.served() == "first"
        with steady_callers(machine.url, pause=PAUSE_SECONDS) as callers:
            for wanted, expected in (("second", "second"), ("tires", "second"), ("first", "first")):
                shared_images.tag(wanted)
                machine.agent("run")
                assert machine.served() == expected
        assert callers.lost == []
        assert "tires" not in machine.local_images()
