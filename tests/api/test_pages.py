"""What a person sees: the page with its form, the documentation; nothing from another host."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.api.conftest import Serve
from tests.browser import Page, browsing, find_chromium
from tests.serving import Service, serving
from tests.tiny_models import ARTIFACT, DIABETES, IRIS, write_model
from treeline.contract.features import Feature

PRESS = 'document.querySelector("form button").click()'
ANSWERED = '!document.getElementById("answer").hidden'


def test_the_page_holds_a_form_of_the_default_model(client: TestClient) -> None:
    page = client.get("/").text
    assert "Will this seedling die before the season ends?" in page
    assert '<option value="Prunus serotina" selected>' in page
    assert 'name="Light_ISF" data-type="number" value="0.25" step="any" min="0" max="1"' in page
    assert 'name="Leaves" data-type="integer" value="4" step="1" min="0"' in page


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_every_other_model_has_a_form_too(client: TestClient, name: str) -> None:
    assert f'action="v1/models/{name}/predict"' in client.get("/", params={"model": name}).text


@pytest.mark.parametrize(("path", "page"), [("/about", "./"), ("/help", "docs")])
def test_who_asks_for_a_prepared_answer_is_sent_to_where_it_is(
    client: TestClient, path: str, page: str
) -> None:
    sent = client.get(path, follow_redirects=False)
    assert (sent.status_code, sent.headers["Location"]) == (307, page)
    assert "text/html" in client.get(path).headers["Content-Type"]


def test_the_page_shows_a_model_that_answers_where_the_default_does_not(
    tmp_path: Path, serve: Serve
) -> None:
    write_model(tmp_path, replace(IRIS, default=True))
    write_model(tmp_path, DIABETES)
    (tmp_path / "iris" / ARTIFACT).unlink()
    page = serve(tmp_path).get("/").text
    assert 'action="v1/models/diabetes/predict"' in page


def test_an_unknown_model_has_no_page(client: TestClient) -> None:
    assert client.get("/", params={"model": "oak"}).status_code == 404


def test_the_page_of_an_empty_service_says_what_to_do(tmp_path: Path, serve: Serve) -> None:
    page = serve(tmp_path).get("/").text
    assert "make repro" in page and "dvc pull" in page


def test_the_page_of_a_broken_model_says_why(tmp_path: Path, serve: Serve) -> None:
    write_model(tmp_path, IRIS)
    (tmp_path / "iris" / ARTIFACT).unlink()
    assert "iris is not served" in serve(tmp_path).get("/").text


def test_what_a_contract_says_is_shown_and_never_run(tmp_path: Path, serve: Serve) -> None:
    nasty = "<script>alert(1)</script>\"'"
    recipe = replace(
        DIABETES,
        description=nasty,
        features={nasty: Feature(type="category", categories=(nasty,), description=nasty)},
        example={nasty: nasty},
        weights={},
    )
    write_model(tmp_path, recipe)
    assert "<script>alert" not in serve(tmp_path).get("/").text


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_names_no_other_host(client: TestClient, path: str) -> None:
    answer = client.get(path)
    named = re.findall(r"(?:src|href)=[\"'](https?:)?//", answer.text)
    assert named == []
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.fixture(scope="module")
def service(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("service") / "log"
    with serving(models, log, WEB_CONCURRENCY="1") as service:
        yield service


@pytest.fixture
def browser() -> Iterator[Page]:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with browsing(chromium) as page:
        yield page


def test_a_person_fills_the_form_and_sees_the_answer(service: Service, browser: Page) -> None:
    browser.open(service.url)
    browser.run('document.querySelector("[name=Species]").value = "Quercus rubra"')
    browser.run('document.querySelector("[name=Light_ISF]").value = "0.01"')
    browser.run('document.querySelector("[name=EMF]").value = ""')
    browser.run(PRESS)
    browser.wait_for(ANSWERED)
    headline = browser.run('document.getElementById("headline").textContent')
    assert headline == "Event = 1 · probability that Event is 1: 93.5 %"
    assert browser.complaints() == []


def test_a_person_sees_what_each_feature_adds_where_that_is_asked(
    service: Service, browser: Page
) -> None:
    browser.open(service.url)
    browser.run(PRESS)
    browser.wait_for(ANSWERED)
    assert browser.run('document.getElementById("bars").children.length') == 0
    browser.run('document.getElementById("explain").checked = true')
    browser.run(PRESS)
    browser.wait_for('document.querySelectorAll("#bars .bar").length == 6')
    said = browser.run('document.getElementById("bars").textContent')
    assert said.startswith("probability of 1: from ") and "Light_ISF" in said
    assert browser.complaints() == []


def test_a_person_is_shown_what_is_wrong_beside_the_field(service: Service, browser: Page) -> None:
    browser.open(service.url)
    browser.run('document.querySelector("[name=Light_ISF]").value = "7"')
    browser.run(PRESS)
    browser.wait_for(ANSWERED)
    wrong = browser.run(
        'document.querySelector("[name=Light_ISF]").closest("label").querySelector(".wrong").textContent'
    )
    assert wrong == "7 is not admitted; give a number from 0 to 1"


@pytest.mark.parametrize("text", ["35-5", "1e", "--2"])
def test_what_is_no_number_is_wrong_and_not_left_out(
    service: Service, browser: Page, text: str
) -> None:
    browser.open(service.url)
    browser.run('document.querySelector("[name=EMF]").value = ""')
    browser.type('[name="EMF"]', text)
    assert browser.run('document.querySelector("[name=EMF]").value') == ""
    browser.run(PRESS)
    browser.wait_for(ANSWERED)
    wrong = browser.run(
        'document.querySelector("[name=EMF]").closest("label").querySelector(".wrong").textContent'
    )
    assert wrong == "this is no number; give one, or leave the field empty"
    assert browser.run('document.getElementById("headline").textContent') == "Not asked: EMF"
    assert [url for url in browser.requested() if url.endswith("/predict")] == []


def test_the_documentation_works_without_any_other_host(service: Service, browser: Page) -> None:
    browser.open(f"{service.url}/docs")
    browser.wait_for('document.querySelectorAll(".opblock").length >= 8')
    browser.run('document.querySelector(".opblock-summary-control").click()')
    browser.wait_for('document.querySelector(".opblock textarea")?.value.includes("Prunus")')
    browser.run('document.querySelector(".opblock .execute").click()')
    browser.wait_for('document.querySelector(".live-responses-table .response-col_status")')
    shown = browser.run('document.querySelector(".live-responses-table").textContent')
    assert '"model": "tree-survival"' in shown
    assert [url for url in browser.requested() if not url.startswith(service.url)] == []
    assert browser.complaints() == []
