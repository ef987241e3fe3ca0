from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from host import settings
from host.calibration.images import PAD, RESIZES, ImageSize, check_header, image_size, read_image

SIZE = ImageSize(64, 32, 3)


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array.astype(np.uint8)).save(path, **options)  # type: ignore[arg-type]
    return path


def halves(height: int, width: int) -> np.ndarray:
    """Left half red, right half blue."""
    array = np.zeros((height, width, 3))
    array[:, : width // 2, 0] = 255
    array[:, width // 2 :, 2] = 255
    return array


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 3, 480, 640), ImageSize(640, 480, 3)),
        ((1, 1, 28, 28), ImageSize(28, 28, 1)),
        ((2, 3, 480, 640), None),
        ((1, 4, 480, 640), None),
        ((1, 480, 640, 3), None),
        ((1, 64), None),
        ((), None),
    ],
)
def test_which_inputs_take_images(shape: tuple[int, ...], size: ImageSize | None) -> None:
    assert image_size(shape) == size


def test_image_of_the_right_size_is_untouched(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (32, 64, 3))
    file = save(tmp_path / "a.png", array)
    for resize in RESIZES:
        assert (read_image(file, SIZE, resize) == array).all()


def test_settings_offer_the_same_resizes() -> None:
    assert tuple(RESIZES) == settings.RESIZES


def test_letterbox_keeps_proportions_between_grey_bars(tmp_path: Path) -> None:
    square = read_image(save(tmp_path / "a.png", halves(100, 100)), SIZE, "letterbox")
    assert (square[:, :16] == PAD).all() and (square[:, 48:] == PAD).all()
    assert (square[:, 17:30] == (255, 0, 0)).all() and (square[:, 34:47] == (0, 0, 255)).all()
    wide = read_image(save(tmp_path / "b.png", halves(10, 80)), SIZE, "letterbox")
    assert (wide[:12] == PAD).all() and (wide[20:] == PAD).all()
    assert (wide[13:19, 2:30] == (255, 0, 0)).all()


def test_stretch_and_crop_fill_the_input(tmp_path: Path) -> None:
    tall = np.zeros((200, 100, 3))
    tall[75:125] = 200
    file = save(tmp_path / "a.png", tall)
    assert (read_image(file, SIZE, "crop") > 150).all()
    stretched = read_image(file, SIZE, "stretch")
    assert (stretched[:10] == 0).all() and (stretched[14:18] == 200).all()


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image = read_image(save(tmp_path / "a.jpg", halves(320, 640), exif=exif, quality=95), SIZE, "stretch")
    assert image[16, 10, 2] > 200 and image[16, 54, 0] > 200


@pytest.mark.parametrize(
    ("suffix", "modes"),
    [
        ("jpg", ["L", "RGB", "CMYK"]),
        ("png", ["L", "RGB", "LA", "RGBA", "P"]),
        ("bmp", ["L", "RGB", "P"]),
        ("webp", ["RGB", "RGBA"]),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_formats_and_modes(tmp_path: Path, suffix: str, modes: list[str], channels: int) -> None:
    grey = 204  # a shade of the web palette: not dithered
    for mode in modes:
        file = tmp_path / f"{mode}.{suffix}"
        Image.new("RGB", (80, 40), (grey,) * 3).convert(mode).save(file)
        array = read_image(file, ImageSize(64, 32, channels), "letterbox")
        assert array.shape == (32, 64, channels) and array.dtype == np.uint8
        assert abs(array.astype(int) - grey).max() <= 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"not an image at all", "not an image"), (b"\x89PNG\r\n\x1a\n", r"\w"), (b"\xff\xd8\xff", r"\w")],
)
def test_damaged_files_have_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(content)
    for look in (check_header, lambda path: read_image(path, SIZE, "crop")):
        with pytest.raises(ValueError, match=reason):
            look(file)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp"])
def test_truncated_image_is_found(tmp_path: Path, suffix: str) -> None:
    file = save(tmp_path / f"a.{suffix}", np.random.default_rng(0).integers(0, 256, (300, 300, 3)))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"\w"):
        read_image(file, SIZE, "letterbox")


def test_sixteen_bits_are_refused_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 40), 3000, np.uint16)).save(tmp_path / "depth.png")
    with pytest.raises(ValueError, match="8 bits"):
        read_image(tmp_path / "depth.png", SIZE, "letterbox")
