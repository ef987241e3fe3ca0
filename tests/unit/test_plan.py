"""Plans say what will be done: dtype, environment, toolkit options and the files' places."""

from pathlib import Path
from typing import Any

import pytest

from host import plan
from host.plan import Environment, Plan
from host.settings import Settings
from host.sources.source import Source
from shared import chips
from shared.faults import Fault

MODEL = Path("models/yolo.onnx")
SOURCE = Source("onnx", {"model": MODEL})


def plans(*names: str, **options: Any) -> list[Plan]:
    return plan.make(Settings(chips=names, models=(MODEL,), **options), SOURCE, lambda pythons: pythons[0])


def only(chip: str, **options: Any) -> Plan:
    (made,) = plans(chip, **options)
    return made


def test_fp16_without_images_int8_with_them() -> None:
    assert (only("rk3588").dtype, only("rk3588").quantize) == ("fp16", False)
    made = only("rk3588", dataset=Path("images"))
    assert (made.dtype, made.quantize, made.preparation.activation_bits) == ("int8", True, 8)
    assert not made.notes


@pytest.mark.parametrize(
    ("chip", "dataset", "dtype"), [("rv1106", None, "int8"), ("rk2118", Path("images"), "fp16")]
)
def test_chip_that_lacks_the_default_gets_its_own_and_a_note(
    chip: str, dataset: Path | None, dtype: str
) -> None:
    made = only(chip, dataset=dataset)
    assert made.dtype == dtype
    assert made.notes[0].startswith(f"{chip} cannot use ")


def test_alias_of_a_dtype_is_its_name() -> None:
    assert only("rk3588", dtype="W8A8").dtype == "int8"


@pytest.mark.parametrize("chip", chips.chips().values(), ids=lambda chip: str(chip.name))
def test_every_offered_dtype_makes_a_plan(chip: chips.Chip) -> None:
    for dtype in chip.offered:
        made = only(chip.name, dtype=dtype)
        assert (made.chip, made.dtype) == (chip.name, dtype)
        assert made.config["target_platform"] == chip.name
        assert ("quantized_algorithm" in made.config) == made.quantize


def test_set_wins_and_a_forced_dtype_is_noted() -> None:
    made = only("rk2118", config={"quantized_dtype": "w8a8", "optimization_level": 1})
    assert (made.dtype, made.quantize, made.preparation.activation_bits) == ("w8a8", True, None)
    assert made.config["quantized_dtype"] == "w8a8"
    assert made.config["optimization_level"] == 1
    assert "not verified" in made.notes[0]


@pytest.mark.parametrize(
    ("chip", "name"),
    [("rv1126", "asymmetric_quantized-u8"), ("rk3588", "w8a8"), ("rk3588", "asymmetric_quantized-8")],
)
def test_a_forced_dtype_that_is_offered_is_that_dtype(chip: str, name: str) -> None:
    forced, asked = only(chip, config={"quantized_dtype": name}), only(chip, dtype="int8")
    assert (forced.dtype, forced.preparation, forced.estimate) == ("int8", asked.preparation, asked.estimate)
    assert forced.notes == asked.notes
    assert forced.config["quantized_dtype"] == name
    with pytest.raises(Fault, match=f"--dtype fp16 and --set quantized_dtype={name} name two"):
        only(chip, dtype="fp16", config={"quantized_dtype": name})


def test_environment_is_the_newest_full_one_unless_asked() -> None:
    default = only("rk3588").environment
    assert default == Environment("toolkit2", "2.5.0", "3.11", "full")
    assert (default.tag, default.image) == ("2.5.0-py311", "rkforge/toolkit2:2.5.0-py311")
    asked = only("rk3588", toolkit_version="2.3.2", python="3.10", variant="slim").environment
    assert asked.image == "rkforge/toolkit2:2.3.2-py310-slim"


def test_engine_chooses_the_python() -> None:
    (made,) = plan.make(Settings(chips=("rk3588",), models=(MODEL,)), SOURCE, lambda _: "3.12")
    assert made.environment.python == "3.12"


def test_version_that_does_not_know_the_chip_is_refused() -> None:
    with pytest.raises(Fault, match="does not know rv1126b"):
        only("rv1126b", toolkit_version="2.2.0")


def test_default_output_names_model_chip_and_dtype() -> None:
    target = only("rk3588").target
    folder = Path("out/yolo/rk3588-fp16")
    names = ("model.toolkit2.rknn", "rknn_source.yaml", "report.json", "log.txt", "failed.log.txt")
    assert list(vars(target).values()) == [folder / name for name in names]


def test_output_folder_is_the_chips_own_only_among_several() -> None:
    assert only("rk3588", output=Path("here")).target.artifact == Path("here/model.toolkit2.rknn")
    first, second = plans("rk3588", "rv1106", output=Path("here"))
    assert first.target.artifact == Path("here/rk3588-fp16/model.toolkit2.rknn")
    assert second.target.artifact == Path("here/rv1106-int8/model.toolkit2.rknn")


def test_companions_of_a_named_file_bear_its_name() -> None:
    target = only("rk3588", output=Path("here/cat.v2.rknn")).target
    names = (
        "cat.v2.rknn",
        "cat.v2.rknn_source.yaml",
        "cat.v2.report.json",
        "cat.v2.log.txt",
        "cat.v2.failed.log.txt",
    )
    assert list(vars(target).values()) == [Path("here") / name for name in names]


def test_hybrid_and_analysis_need_a_quantizing_dtype_and_at_most_two_formats() -> None:
    layers = {"a": "dynamic_fixed_point-i16", "b": "dynamic_fixed_point-i16"}
    assert only("rv1126", dtype="int8", hybrid=layers).hybrid == layers
    assert only("rv1126", dtype="int8", hybrid={}).hybrid == {}
    with pytest.raises(Fault, match="fp16 is not quantized") as caught:
        only("rv1126", hybrid=layers)
    assert "--dtype int8" in caught.value.hint
    with pytest.raises(Fault, match="--analysis: fp16 is not quantized"):
        only("rv1126", analysis=True)
    with pytest.raises(Fault) as caught:
        only("rk2118", analysis=True)
    assert caught.value.hint == "Leave --analysis out."
    three = {**layers, "c": "float32"}
    with pytest.raises(Fault, match="2 number formats, this would be asymmetric_affine-u8, dynamic_fixed"):
        only("rv1126", dtype="int8", hybrid=three)
    assert only("rv1126", dtype="dynamic_fixed_point-i16", hybrid=three).hybrid == three


@pytest.mark.parametrize(
    ("chip", "options", "estimated"),
    [
        ("rv1126", {"dtype": "int8"}, True),
        ("rv1126", {"dtype": "int8", "hybrid": {}}, False),
        ("rv1126", {"dtype": "dynamic_fixed_point-i8"}, False),
        ("rv1126", {}, False),
        ("rk3588", {"dtype": "int8"}, False),
    ],
    ids=str,
)
def test_what_no_simulator_runs_is_estimated_where_that_is_possible(
    chip: str, options: dict[str, Any], estimated: bool
) -> None:
    assert only(chip, **options).estimate is estimated


def test_chips_that_are_easily_mixed_up_are_noted() -> None:
    assert any("rv1126b" in note for note in only("rv1126").notes)
    assert any("--chip rv1126" in note for note in only("rv1126b").notes)


def test_documents_lie_beside_the_artefact() -> None:
    assert only("rk3588", output=Path("here")).target.document("a.txt") == Path("here/a.txt")
    assert only("rk3588", output=Path("here/cat.v2.rknn")).target.document("a.txt") == Path(
        "here/cat.v2.a.txt"
    )


def test_json_of_a_plan_is_plain() -> None:
    import json

    made = only("rv1106")
    document = json.loads(json.dumps(made.to_json()))
    assert document["environment"]["image"] == made.environment.image
    assert document["target"]["artifact"] == str(made.target.artifact)
