"""A model whose uploader declared it takes pictures; what it is given is computed here anew."""

import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from starlette.testclient import TestClient

from api.inference.images import ImageInput
from tests.api.uploading import publish, uploading
from tests.tiny_graphs import identity

Image = pytest.importorskip("PIL.Image")

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGES = {
    "torch": (
        ImageInput(width=6, height=4, mean=MEAN, deviation=DEVIATION),
        identity(["n", 3, 4, 6]),
    ),
    "keras": (
        ImageInput(width=6, height=4, layout="NHWC", channels="BGR", scale=1, mean=(103.9,)),
        identity([1, 4, 6, 3]),
    ),
    "bytes": (
        ImageInput(width=6, height=4, layout="NHWC"),
        identity([4, 6, 3], TensorProto.UINT8),
    ),
    "grey": (ImageInput(width=6, height=4, channels="L"), identity([None, 1, None, None])),
    "small": (ImageInput(width=2, height=2, channels="L", scale=1), identity([1, 1, 2, 2])),
    "cropped": (
        ImageInput(width=2, height=2, channels="L", scale=1, resize="crop"),
        identity([1, 1, 2, 2]),
    ),
}


@pytest.fixture(scope="module")
def client(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    state = tmp_path_factory.mktemp("state")
    for name, (image, graph) in IMAGES.items():
        publish(state, name, graph, image)
    publish(state, "plain", identity([None, 3, 4, 6]))
    with uploading(models, state) as client:
        yield client


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    """A picture of 4 rows and 6 columns, every value another one."""
    return (np.arange(72, dtype=np.uint8) * 3).reshape(4, 6, 3)


def encoded(pixels: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def given(client: TestClient, name: str, picture: bytes, kind: str = "image/png") -> NDArray[Any]:
    headers = {"Content-Type": kind}
    answer = client.post(f"/v1/models/{name}/predict", content=picture, headers=headers)
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["values"])


def test_pixels_are_scaled_and_put_first_by_channel(
    client: TestClient, pixels: NDArray[np.uint8]
) -> None:
    expected = ((pixels / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)[np.newaxis]
    np.testing.assert_allclose(given(client, "torch", encoded(pixels)), expected, atol=1e-6)


def test_channels_may_be_last_and_turned_round(
    client: TestClient, pixels: NDArray[np.uint8]
) -> None:
    expected = pixels[np.newaxis, :, :, ::-1] - 103.9
    np.testing.assert_allclose(given(client, "keras", encoded(pixels)), expected, atol=1e-4)


def test_an_input_of_bytes_gets_the_pixels(client: TestClient, pixels: NDArray[np.uint8]) -> None:
    assert given(client, "bytes", encoded(pixels)).tolist() == pixels.tolist()


@pytest.mark.parametrize(("kind", "exact"), [("PNG", True), ("WEBP", True), ("JPEG", False)])
def test_each_format_is_read(client: TestClient, kind: str, exact: bool) -> None:
    flat = np.full((4, 6, 3), (200, 100, 50), dtype=np.uint8)
    options = {"lossless": True} if kind == "WEBP" else {}
    found = given(client, "bytes", encoded(flat, kind, **options), f"image/{kind.lower()}")
    np.testing.assert_allclose(found, flat, atol=0 if exact else 4)


@pytest.mark.parametrize("name", ["image", "file", "picture", ""])
def test_a_form_may_bring_the_picture_under_any_name(
    client: TestClient, pixels: NDArray[np.uint8], name: str
) -> None:
    files = {name: ("a.png", encoded(pixels), "image/png")}
    answer = client.post("/v1/models/bytes/predict", files=files)
    assert answer.json()["values"] == pixels.tolist()


FORMS: dict[str, tuple[dict[str, Any], str]] = {
    "no picture": ({"files": {"file": ("a.png", b"")}}, "no picture in JPEG, PNG or WebP"),
    "a text": (
        {"files": {"file": (None, "a.png")}},
        "has no file; send one, with curl as: -F file=",
    ),
    "two": ({"files": [("a", ("a.png", b"a")), ("b", ("b.png", b"b"))]}, "Too many files"),
}


@pytest.mark.parametrize(("sent", "message"), FORMS.values(), ids=FORMS)
def test_a_form_without_one_picture_is_refused(
    client: TestClient, sent: dict[str, Any], message: str
) -> None:
    answer = client.post("/v1/models/bytes/predict", **sent)
    assert answer.status_code == 400
    assert message in answer.json()["detail"]


def test_it_takes_values_as_before(client: TestClient, pixels: NDArray[np.uint8]) -> None:
    answer = client.post("/v1/models/bytes/predict", json={"values": pixels.tolist()})
    assert answer.json()["values"] == pixels.tolist()


def test_grey_pictures_sixteen_bits_and_transparency_are_understood(client: TestClient) -> None:
    deep = np.full((4, 6), 0x8040, dtype=np.uint16)
    np.testing.assert_allclose(given(client, "grey", encoded(deep)), 0x80 / 255, atol=1e-6)
    clear = np.full((4, 6, 4), (9, 9, 9, 0), dtype=np.uint8)
    np.testing.assert_allclose(given(client, "grey", encoded(clear)), 9 / 255, atol=1e-6)


def test_another_size_is_stretched_or_cropped(client: TestClient) -> None:
    wide = np.repeat(np.array([[0, 100, 200, 50]], dtype=np.uint8), 2, axis=0)
    stretched = given(client, "small", encoded(wide))[0, 0]
    assert stretched[0, 0] < 100 < stretched[0, 1]
    assert given(client, "cropped", encoded(wide))[0, 0].tolist() == [[100, 200], [100, 200]]


def test_a_picture_is_turned_upright_as_its_camera_says(client: TestClient) -> None:
    grey = np.array([[10, 20], [30, 40]], dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    found = given(client, "small", encoded(grey, exif=exif))[0, 0]
    assert found.tolist() == [[40, 30], [20, 10]]


@pytest.mark.parametrize(
    ("picture", "status", "words"),
    [
        (b"", 400, "no picture in JPEG, PNG or WebP"),
        (b"no picture", 400, "no picture in JPEG, PNG or WebP"),
        (encoded(np.zeros((4, 6, 3), np.uint8), "BMP"), 400, "no picture in JPEG, PNG or WebP"),
        (encoded(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8))[:9000], 400, ""),
    ],
)
def test_what_is_no_picture_is_refused(
    client: TestClient, picture: bytes, status: int, words: str
) -> None:
    headers = {"Content-Type": "image/png"}
    answer = client.post("/v1/models/grey/predict", content=picture, headers=headers)
    assert answer.status_code == status
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("side", "words"), [(8_000, "it has 8000 by 8000 pixels"), (30_000, "decompression bomb")]
)
def test_a_picture_that_would_fill_the_memory_is_refused_by_its_header(
    client: TestClient, side: int, words: str
) -> None:
    small = encoded(np.zeros((4, 6, 3), np.uint8))
    header = b"IHDR" + struct.pack(">II", side, side) + small[24:29]
    bomb = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
    headers = {"Content-Type": "image/png"}
    answer = client.post("/v1/models/grey/predict", content=bomb, headers=headers)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert "send one of at most 50000000 pixels" in answer.json()["detail"]


def test_another_media_type_is_told_those_there_are(client: TestClient) -> None:
    for name, words in (("grey", "image/webp, multipart"), ("plain", "PATCH has declared")):
        headers = {"Content-Type": "image/gif"}
        answer = client.post(f"/v1/models/{name}/predict", content=b"GIF89a", headers=headers)
        assert answer.status_code == 415
        assert words in answer.json()["detail"]


def test_pictures_are_declared_and_taken_back_later(client: TestClient) -> None:
    declared = {"width": 6, "height": 4, "channels": "RGB"}
    card = client.patch("/v1/models/plain", json={"image": declared, "description": "Sees"})
    assert card.status_code == 200, card.text
    assert (card.json()["kind"], card.json()["description"]) == ("image", "Sees")
    picture = encoded(np.zeros((4, 6, 3), np.uint8))
    assert given(client, "plain", picture).shape == (1, 3, 4, 6)
    assert "image/png" in json.dumps(client.get("/openapi.json").json()["paths"])
    card = client.patch("/v1/models/plain", json={"image": None})
    assert (card.json()["kind"], card.json()["description"]) == ("tensor", "Sees")


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"width": 5, "height": 4}, "is ? by 3 by 4 by 6, and the declaration makes 1 by 3 by 4"),
        ({"width": 6, "height": 4, "layout": "NHWC"}, "the declaration makes 1 by 4 by 6 by 3"),
        ({"width": 6, "height": 4, "mean": [1, 2]}, "`mean` has 2 numbers"),
        ({"width": 6, "height": 4, "deviation": [0]}, "`deviation` is divided by"),
        ({"width": 0, "height": 4}, "greater than 0"),
        ({"width": 6, "height": 4, "colour": "RGB"}, "Extra inputs are not permitted"),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused(
    client: TestClient, declared: dict[str, Any], words: str
) -> None:
    answer = client.patch("/v1/models/plain", json={"image": declared})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_model_of_records_takes_no_pictures(client: TestClient) -> None:
    answer = client.patch("/v1/models/iris", json={"description": "another"})
    assert answer.status_code == 409


@pytest.mark.parametrize(("scans", "status"), [(0, 200), (60, 200), (2000, 422)])
def test_a_picture_of_endless_scans_is_not_decoded(
    client: TestClient, scans: int, status: int
) -> None:
    written = io.BytesIO()
    Image.new("RGB", (64, 64), "green").save(written, "JPEG", progressive=True)
    picture = written.getvalue()
    last = picture[picture.rindex(b"\xff\xda") : -2]
    picture = picture[:-2] + last * scans + picture[-2:]
    answer = client.post(
        "/v1/models/torch/predict", content=picture, headers={"Content-Type": "image/jpeg"}
    )
    assert answer.status_code == status, answer.text
    if status == 422:
        assert "scans" in answer.json()["errors"][0]["message"]
