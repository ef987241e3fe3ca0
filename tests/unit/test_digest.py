"""The digest ignores what differs between builds and nothing else."""

import random
import struct
from pathlib import Path

import pytest

from shared import digest, rknn_file

DATA = Path(__file__).parents[1] / "data"
TWICE = ["rk3588-int8", "rv1106-int8", "rv1103b-int8"]
FILES = sorted(DATA.glob("*.rknn"))


@pytest.mark.parametrize("name", TWICE)
def test_two_builds_differ_and_have_one_digest(name: str) -> None:
    one, two = ((DATA / f"{name}{again}.rknn").read_bytes() for again in ("", ".again"))
    assert one != two
    assert digest.canonical(one) == digest.canonical(two)
    assert str(digest.canonical(one)).startswith("sha256:")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_few_bytes_are_left_out(path: Path) -> None:
    data = path.read_bytes()
    assert 0 < digest.masked_bytes(data) <= 0.01 * len(data)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_other_byte_counts(path: Path) -> None:
    data = path.read_bytes()
    whole = digest.canonical(data)
    left_out = {at for start, end in digest.unset(data) or () for at in range(start, end)}
    rng = random.Random(path.name)
    for at in rng.sample(sorted(set(range(len(data))) - left_out), 400):
        changed = bytearray(data)
        changed[at] ^= 1 << rng.randrange(8)
        try:
            assert digest.canonical(bytes(changed)) != whole, hex(at)
        except ValueError:  # the change made the file unreadable: noticed as well
            continue


@pytest.mark.parametrize("name", TWICE)
def test_a_changed_scale_or_shape_counts(name: str) -> None:
    data = (DATA / f"{name}.rknn").read_bytes()
    scale = (0.015625, 0.03125)
    shape = ([1, 3, 32, 48], [1, 3, 48, 32])
    changed_scale = data.replace(struct.pack("<f", scale[0]), struct.pack("<f", scale[1]))
    changed_shape = data.replace(struct.pack("<4i", *shape[0]), struct.pack("<4i", *shape[1]))
    assert rknn_file.parse(changed_scale).inputs[0].scale == scale[1]
    assert rknn_file.parse(changed_shape).inputs[0].shape == shape[1]
    assert (
        len({digest.canonical(data), digest.canonical(changed_scale), digest.canonical(changed_shape)}) == 3
    )


def test_an_unknown_chip_has_no_digest() -> None:
    data = (DATA / "rk3588-int8.rknn").read_bytes()
    assert digest.canonical(data.replace(b"rk3588", b"rk9988")) is None


def test_an_overread_operator_has_no_digest() -> None:
    data = (DATA / "rv1106-int8.rknn").read_bytes()
    at = data.index(b"\x08\0\0\0ConvRelu")
    assert digest.canonical(data[:at] + b"\x05\0\0\0exGRU\0\0\0" + data[at + 12 :]) is None


def test_implausibly_many_unset_bytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = (DATA / "rk3588-int8.rknn").read_bytes()
    monkeypatch.setattr(digest, "LIMIT_SHARE", 0.001)
    assert digest.canonical(data) is None


def test_a_damaged_file_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="length"):
        digest.canonical((DATA / "rk3588-int8.rknn").read_bytes()[:-1])
