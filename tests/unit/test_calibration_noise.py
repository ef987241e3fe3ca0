import numpy as np

from host.calibration.noise import noise_arrays, noise_images


def test_noise_repeats_and_covers_the_range() -> None:
    images = noise_images(2, 24, 32, 3)
    assert images.shape == (2, 24, 32, 3) and images.dtype == np.uint8
    assert (images == noise_images(2, 24, 32, 3)).all()
    assert images.min() == 0 and images.max() == 255
    assert (images[0] != images[1]).any()


def test_noise_is_the_same_on_every_machine() -> None:
    assert noise_images(1, 1, 2, 3).ravel().tolist() == [95, 130, 194, 217, 207, 235]


def test_arrays_follow_the_dtype() -> None:
    floats = noise_arrays(12, (1, 500), "float16")
    assert floats.shape == (12, 1, 500) and floats.dtype == np.float32
    assert abs(floats.mean()) < 0.1 and abs(floats.std() - 1) < 0.1
    tokens = noise_arrays(12, (1, 500), "int64")
    assert tokens.dtype == np.int64 and set(np.unique(tokens)) == {0, 1}
