"""The table of toolkits and chips is complete and consistent, and answers in a person's terms."""

import pytest

from shared import chips
from shared.faults import Fault

TOOLKITS = list(chips.toolkits().values())
CHIPS = list(chips.chips().values())
TOOLKIT2_CHIPS = (
    *("rk3588", "rk3576", "rk3566", "rk3568", "rk3562", "rv1103", "rv1106", "rv1103b", "rv1106b", "rv1126b"),
    "rk2118",
)
LEGACY_CHIPS = ("rk1808", "rk1806", "rk3399pro", "rv1109", "rv1126")


def test_every_chip_of_both_toolkits_is_there() -> None:
    by_toolkit = {
        toolkit.name: [chip.name for chip in CHIPS if chip.toolkit == toolkit] for toolkit in TOOLKITS
    }
    assert {name: sorted(names) for name, names in by_toolkit.items()} == {
        "toolkit2": sorted(TOOLKIT2_CHIPS),
        "legacy": sorted(LEGACY_CHIPS),
    }


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: str(chip.name))
def test_chip_has_a_say_on_every_dtype(chip: chips.Chip) -> None:
    assert set(chip.dtypes) == set(chip.toolkit.dtypes)
    assert chip.offered
    assert chip.versions
    for name in chip.offered:
        assert chips.dtype(chip, name).name == name


@pytest.mark.parametrize("toolkit", TOOLKITS, ids=lambda toolkit: str(toolkit.name))
def test_toolkit_is_described_in_full(toolkit: chips.Toolkit) -> None:
    assert toolkit.versions and chips.pythons(toolkit) and toolkit.variants and toolkit.algorithms
    assert set(toolkit.config_keys) == set(toolkit.versions)
    names = [name for dtype in toolkit.dtypes.values() for name in (dtype.name, *dtype.aliases)]
    assert len(names) == len(set(names))


def test_names_and_aliases_are_unique() -> None:
    names = [name for chip in CHIPS for name in (chip.name, *chip.aliases)]
    assert len(names) == len(set(names))
    assert all(name == name.lower() for name in names)


@pytest.mark.parametrize("name", ["rk3588s", "RK3588", "Rk3588S"])
def test_chip_by_alias_and_in_any_case(name: str) -> None:
    assert chips.chip(name).name == "rk3588"


def test_unknown_chip_is_answered_with_the_nearest() -> None:
    with pytest.raises(Fault) as caught:
        chips.chip("rk3855")
    assert (caught.value.code, caught.value.exit_status) == ("chip-unknown", 3)
    assert caught.value.message == "unknown chip rk3855: did you mean rk3588?"


def test_far_off_name_is_answered_with_the_list() -> None:
    with pytest.raises(Fault, match="choose from rk3588, rk3588s, rk3576") as caught:
        chips.chip("banana")
    assert "did you mean" not in caught.value.message


@pytest.mark.parametrize(
    ("chip", "dtype", "reason", "works"),
    [
        ("rv1103", "fp16", "refuses float builds", "rv1103 converts with int8"),
        ("rv1106b", "float16", "refuses float builds", "rv1106b converts with int8"),
        ("rk2118", "w8a8", "rk2118 cannot use int8", "rk2118 converts with fp16"),
        ("rk3588", "w8a16", "only for rk3562", "rk3588 converts with int8, fp16"),
    ],
)
def test_refused_dtype_has_its_reason_and_what_works(chip: str, dtype: str, reason: str, works: str) -> None:
    with pytest.raises(Fault) as caught:
        chips.dtype(chips.chip(chip), dtype)
    assert (caught.value.code, caught.value.exit_status) == ("dtype-unsupported", 3)
    assert reason in caught.value.message
    assert caught.value.hint.startswith(works)


def test_version_must_know_the_chip() -> None:
    young = chips.chip("rv1126b")
    assert chips.version(young, "") == young.toolkit.versions[0]
    assert chips.version(young, young.since) == young.since
    with pytest.raises(Fault, match=r"rknn-toolkit2 2\.2\.0 does not know rv1126b") as caught:
        chips.version(young, "2.2.0")
    assert caught.value.hint == f"Versions that do: {', '.join(young.versions)}. {young.note}."


def test_family_is_the_same_for_all_its_members() -> None:
    families = {chip.family for chip in map(_frozen, CHIPS) if chip.family}
    assert families == {("rk1806", "rk1808", "rk3399pro"), ("rv1109", "rv1126")}
    for family in families:
        for name in family:
            assert tuple(chips.chip(name).family) == family


def _frozen(chip: chips.Chip) -> chips.Chip:
    return chip._replace(family=tuple(chip.family))


@pytest.mark.parametrize("toolkit", TOOLKITS, ids=lambda toolkit: str(toolkit.name))
def test_choices_are_of_options_that_there_are_and_hold_the_defaults(toolkit: chips.Toolkit) -> None:
    for key, values in toolkit.choices.items():
        defaults = [keys[key] for keys in toolkit.config_keys.values() if key in keys]
        assert defaults and all(default is None or default in values for default in defaults)
    assert all(keys["quantized_algorithm"] in toolkit.algorithms for keys in toolkit.config_keys.values())
    assert all(toolkit.colours.option in keys for keys in toolkit.config_keys.values())


@pytest.mark.parametrize("toolkit", TOOLKITS, ids=lambda toolkit: str(toolkit.name))
def test_hybrid_formats_hold_those_of_the_quantizing_dtypes(toolkit: chips.Toolkit) -> None:
    own = {dtype.config["quantized_dtype"] for dtype in toolkit.dtypes.values() if dtype.quantize}
    assert not toolkit.hybrid or own <= set(toolkit.hybrid)


def test_unknown_version() -> None:
    with pytest.raises(Fault, match=r"unknown rknn-toolkit2 2\.5: did you mean 2\.5\.0\?"):
        chips.version(chips.chip("rk3588"), "2.5")
