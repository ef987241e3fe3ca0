from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from host.calibration.images import ImageSize, read_image
from host.calibration.listing import find_images
from host.calibration.noise import noise_arrays
from host.calibration.select import select
from host.calibration.staging import ORDERS, Formats, Staged, read_back, stage, stage_noise
from shared import chips
from shared.faults import Fault


class Input(NamedTuple):
    name: str
    shape: tuple[int, ...]
    dtype: str
    channels_last: bool = False


PHOTO = Input("images", (1, 3, 32, 64), "float32")
TOOLKIT2 = chips.toolkit("toolkit2")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(12):
        Image.fromarray(rng.integers(0, 256, (50, 70, 3), np.uint8)).save(folder / f"{index:02}.jpg")
    return folder


def run(
    dataset: Path,
    folder: Path,
    model_input: Input = PHOTO,
    count: int = 100,
    formats: Formats = TOOLKIT2.calibration,
) -> Staged:
    folder.mkdir()
    return stage(select(find_images(dataset), count), model_input, "letterbox", folder, formats)


def rows(staged: Staged) -> list[list[Path]]:
    lines = staged.calibration.read_text().splitlines()
    return [[staged.calibration.parent / name for name in line.split(" ")] for line in lines]


@pytest.mark.parametrize("toolkit", chips.toolkits().values(), ids=lambda toolkit: str(toolkit.name))
def test_staged_files_hold_exactly_the_resized_images(
    photos: Path, tmp_path: Path, toolkit: chips.Toolkit
) -> None:
    staged = run(photos, tmp_path / "job", count=5, formats=toolkit.calibration)
    chosen = select(find_images(photos), 5)
    size = ImageSize(64, 32, 3)
    for (file,), source in zip(rows(staged), chosen.calibration, strict=True):
        assert Image.open(file).format == toolkit.calibration["images"].upper()
        assert (np.asarray(Image.open(file)) == read_image(source, size, "letterbox")).all()
    held_out = np.load(staged.held_out[0])
    assert held_out.shape == (2, 32, 64, 3) and held_out.dtype == np.uint8
    assert (held_out[1] == read_image(chosen.held_out[1], size, "letterbox")).all()


def test_grey_input_stages_one_channel(photos: Path, tmp_path: Path) -> None:
    staged = run(photos, tmp_path / "job", Input("x", (1, 1, 32, 64), "float32"))
    assert Image.open(rows(staged)[0][0]).mode == "L"
    assert np.load(staged.held_out[0]).shape == (2, 32, 64, 1)


def test_same_images_give_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        run(photos, tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append([(path.relative_to(tmp_path / name), path.read_bytes()) for path in files])
    assert contents[0] == contents[1] and len(contents[0]) == 12


def test_three_images_calibrate_and_are_held_out(photos: Path, tmp_path: Path) -> None:
    for file in sorted(photos.iterdir())[3:]:
        file.unlink()
    staged = run(photos, tmp_path / "job")
    assert len(rows(staged)) == len(np.load(staged.held_out[0])) == 3


def test_all_corrupt_images_are_named_used_or_not(photos: Path, tmp_path: Path) -> None:
    for name in ("01.jpg", "06.jpg", "10.jpg"):
        (photos / name).write_bytes(b"<html>404</html>")
    (photos / "03.jpg").write_bytes((photos / "03.jpg").read_bytes()[:500])
    with pytest.raises(Fault, match="of 12 calibration files") as caught:
        run(photos, tmp_path / "job", count=8)
    for name in ("01.jpg", "06.jpg", "10.jpg"):
        assert f"{name} (not an image)" in caught.value.message
    assert "03.jpg" in caught.value.message and "00.jpg" not in caught.value.message


def test_arrays_of_the_inputs_shape(tmp_path: Path) -> None:
    dataset = tmp_path / "arrays"
    dataset.mkdir()
    values = np.random.default_rng(0).normal(size=(6, 1, 20, 8))
    for index, value in enumerate(values):
        np.save(dataset / f"{index}.npy", value if index % 2 else value[0])
    staged = run(dataset, tmp_path / "job", Input("audio", (1, 20, 8), "float16"))
    calibrated = np.stack([np.load(file) for (file,) in rows(staged)])
    held_out = np.load(staged.held_out[0])
    assert calibrated.shape == (5, 1, 20, 8) and held_out.shape == (1, 1, 20, 8)
    assert calibrated.dtype == held_out.dtype == np.float32
    assert (held_out[0] == values[3].astype(np.float32)).all()


def test_arrays_follow_the_order_of_the_toolkits_files(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(6, 1, 5, 20, 8)).astype(np.float32)
    (tmp_path / "arrays").mkdir()
    for index, value in enumerate(values):
        np.save(tmp_path / "arrays" / f"{index}.npy", value)
    for name, expected in (("nchw", values), ("nhwc", values.transpose(0, 1, 3, 4, 2))):
        formats = {"images": "png", "arrays": name}
        staged = run(tmp_path / "arrays", tmp_path / name, Input("x", (1, 5, 20, 8), "float32"), 5, formats)
        ((file,), *_) = rows(staged)
        np.testing.assert_array_equal(np.load(file), expected[0])
        assert np.load(file).flags.c_contiguous
        np.testing.assert_array_equal(np.load(staged.held_out[0]), values[[3]])


def test_table_names_formats_that_are_written() -> None:
    for toolkit in chips.toolkits().values():
        assert toolkit.calibration["images"] in ("bmp", "png")
        assert toolkit.calibration["arrays"] in {order for order, _ in ORDERS}


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((8, 20)), r"shape \(8, 20\), the input has \(1, 20, 8\): transpose it to 1x20x8"),
        (np.zeros((8, 21)), r"shape \(8, 21\), the input has \(1, 20, 8\)\)"),
        (np.full((1, 20, 8), np.nan), "NaN"),
        (np.full((1, 20, 8), "a"), "instead of numbers"),
        (np.full((1, 20, 8), {}, object), "not a NumPy array"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, array: np.ndarray, reason: str) -> None:
    np.save(tmp_path / "a.npy", array)
    (tmp_path / "list.txt").write_text("a.npy\n")
    with pytest.raises(Fault, match=reason):
        run(tmp_path / "list.txt", tmp_path / "job", Input("audio", (1, 20, 8), "float32"))


def test_images_for_an_input_that_takes_none(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(Fault, match="has the shape 1x20x8"):
        run(photos, tmp_path / "job", Input("audio", (1, 20, 8), "float32"))


def test_mixed_dataset(photos: Path, tmp_path: Path) -> None:
    np.save(photos / "a.npy", np.zeros(3))
    with pytest.raises(Fault, match=r"mixes 1 \.npy files with 12 images"):
        run(photos, tmp_path / "job")


def test_noise_serves_several_inputs(tmp_path: Path) -> None:
    inputs = [PHOTO, Input("state", (2, 1, 16), "float32"), Input("token", (1, 4), "int64")]
    staged = stage_noise(inputs, tmp_path, TOOLKIT2.calibration)
    assert [len(row) for row in rows(staged)] == [3] * 8
    assert [np.load(file).shape for file in staged.held_out] == [(4, 32, 64, 3), (4, 2, 1, 16), (4, 1, 4)]
    image, state, token = rows(staged)[0]
    assert np.asarray(Image.open(image)).shape == (32, 64, 3)
    assert np.load(state).shape == (2, 1, 16) and np.load(token).dtype == np.int64


@pytest.mark.parametrize("toolkit", chips.toolkits().values(), ids=lambda toolkit: str(toolkit.name))
def test_what_was_staged_is_read_back(photos: Path, tmp_path: Path, toolkit: chips.Toolkit) -> None:
    staged = run(photos, tmp_path / "job", count=5, formats=toolkit.calibration)
    chosen = select(find_images(photos), 5).calibration
    (images,) = read_back(staged.calibration, [PHOTO], toolkit.calibration, 3)
    wanted = [read_image(path, ImageSize(64, 32, 3), "letterbox") for path in chosen[:3]]
    np.testing.assert_array_equal(images, np.stack(wanted))

    inputs = [Input("grey", (1, 1, 8, 12), "float32"), Input("state", (2, 5, 4, 3), "float32")]
    (tmp_path / "noise").mkdir()
    staged = stage_noise(inputs, tmp_path / "noise", toolkit.calibration)
    grey, state = read_back(staged.calibration, inputs, toolkit.calibration, 100)
    assert grey.shape == (8, 8, 12, 1) and grey.dtype == np.uint8
    np.testing.assert_array_equal(state, noise_arrays(12, (2, 5, 4, 3), "float32")[:8])
