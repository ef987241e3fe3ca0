"""Settings: which source wins, how text is read, and that every mistake is found before any work."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from host.config import resolve, spelled
from host.settings import SETTINGS, Settings
from shared.faults import Fault


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two models and a dataset."""
    for name in ("a.onnx", "b.onnx", "images/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def read(
    folder: Path, *changes: str, file: str = "", environ: dict[str, str] | None = None, **flags: Any
) -> Settings:
    """Settings for rk3588 and a.onnx, unless flags say otherwise; None leaves a flag out."""
    if file:
        (folder / "rkforge.yaml").write_text(file, encoding="utf-8")
    given = {"chip": "rk3588", "model": str(folder / "a.onnx"), **flags}
    return resolve(
        {name.replace("_", "-"): text for name, text in given.items()}, list(changes), folder, environ or {}
    )


def mistake(folder: Path, *changes: str, **options: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        read(folder, *changes, **options)
    return caught.value


def test_defaults_are_stated(folder: Path) -> None:
    settings = read(folder)
    assert settings.chips == ("rk3588",)
    assert (settings.mean, settings.std) == ((), ())
    assert (settings.engine, settings.resize, settings.algorithm) == ("auto", "letterbox", "normal")
    assert (settings.cache, settings.allow_dead, settings.jobs) == (True, False, 1)
    assert settings.dtype is None and settings.output is None and settings.config == {}


def test_flag_wins_over_environment_over_file(folder: Path) -> None:
    file = "algorithm: mmse\nengine: local\ntimeout: 1\n"
    environ = {"RKFORGE_ENGINE": "docker", "RKFORGE_TIMEOUT": "2", "RKFORGE_MAX_IMAGES": "7"}
    settings = read(folder, file="model: a.onnx\n" + file, environ=environ, model=None, timeout="3")
    assert (settings.algorithm, settings.engine, settings.timeout_s) == ("mmse", "docker", 3.0)
    assert settings.max_images == 7


def test_every_setting_is_read_from_every_source(folder: Path) -> None:
    texts = {
        **{
            "chip": "rv1126",
            "model": str(folder / "b.onnx"),
            "output": "o",
            "dataset": str(folder / "images"),
        },
        **{"max-images": "5", "resize": "crop", "dtype": "int8", "algorithm": "mmse", "size": "64x32"},
        **{"mean": "1,2,3", "std": "4,5,6", "toolkit-version": "1.7.5", "python": "3.8", "variant": "full"},
        **{
            "engine": "local",
            "timeout": "9",
            "memory": "2g",
            "jobs": "2",
            "allow-dead": "true",
            "allow-cpu": "true",
            "cache": "false",
        },
        **{"hybrid": "auto", "analysis": "true", "head": "split", "labels": str(folder / "b.onnx")},
        **{"inputs": "a,b", "outputs": "c", "input-sizes": "1x3x8x8,1x2", "opset": "12"},
        **{"darknet": "native", "trust-pickle": "true", "color": "bgr"},
    }
    assert set(texts) == {setting.name for setting in SETTINGS}
    variables = {f"RKFORGE_{name.replace('-', '_').upper()}": text for name, text in texts.items()}
    lines = "".join(f"{name}: {text}\n" for name, text in texts.items())
    by_flags = resolve(texts, [], folder, {})
    assert by_flags == resolve({}, [], folder, variables)
    (folder / "rkforge.yaml").write_text(lines)
    from_file = resolve({}, [], folder, {})
    assert from_file.output == folder / "o"
    assert by_flags.output == Path("o")
    assert replace(from_file, output=None) == replace(by_flags, output=None)


def test_head_and_labels_are_checked_before_any_work(folder: Path) -> None:
    assert "did you mean branches?" in mistake(folder, head="branch").message
    assert "there is no file" in mistake(folder, labels="none.txt").message


def test_file_is_read_as_it_is_written(folder: Path) -> None:
    settings = read(folder, file="python: 3.10\ncache: no\ndataset:\njobs: 010\n")
    assert settings.python == "3.10"
    assert not settings.cache
    assert settings.dataset is None
    assert settings.jobs == 10


@pytest.mark.parametrize("text", ["model: [", "- model", "model: \0"])
def test_file_that_cannot_be_read_is_the_only_mistake(folder: Path, text: str) -> None:
    told = mistake(folder, file=text, model=None, chip=None).message
    assert "rkforge.yaml" in told and "mistakes" not in told


def test_files_paths_are_relative_to_the_file(folder: Path) -> None:
    settings = read(folder, file="model: b.onnx\ndataset: images\n", model=None)
    assert settings.model == folder / "b.onnx"
    assert settings.dataset == folder / "images"


def test_another_model_does_not_inherit_what_belongs_to_the_files(folder: Path) -> None:
    file = "model: b.onnx\ndataset: images\nmean: [9, 9, 9]\nset: {optimization_level: 1}\ntimeout: 60\n"
    settings = read(folder, file=file)
    assert settings.dataset is None
    assert settings.mean == Settings.mean
    assert settings.config == {}
    assert settings.timeout_s == 60


def test_lists_in_the_file(folder: Path) -> None:
    settings = read(
        folder, file="model: a.onnx\nchip: [rk3588, rv1106]\nstd: [1, 2.5, 3]\n", model=None, chip=None
    )
    assert settings.chips == ("rk3588", "rv1106")
    assert settings.std == (1, 2.5, 3)


def test_chips_are_canonical_and_each_once(folder: Path) -> None:
    assert read(folder, chip="RK3588S, rk3566,rk3588").chips == ("rk3588", "rk3566")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512m", 512 << 20), ("4g", 4 << 30), ("1.5GiB", 3 << 29), ("2048", 2048), ("64KB", 65536)],
)
def test_memory(folder: Path, text: str, expected: int) -> None:
    assert read(folder, memory=text).memory_bytes == expected


def test_size_is_width_by_height(folder: Path) -> None:
    assert read(folder, size="640X480").size == (640, 480)


def test_toolkit_options(folder: Path) -> None:
    file = "model: a.onnx\nset: {optimization_level: 1, remove_weight: true}\n"
    settings = read(folder, "optimization_level=2", "op_target={'Conv_0': 'cpu'}", file=file, model=None)
    assert settings.config == {
        "optimization_level": 2,
        "remove_weight": True,
        "op_target": {"Conv_0": "cpu"},
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "optimisation_level=2",
            "unknown option of rknn-toolkit2 optimisation_level: did you mean optimization_level?",
        ),
        ("optimization_level=4", "choose from 0, 1, 2, 3"),
        ("float_dtype=float8", "choose from float16, bfloat16, tfloat32"),
        ("remove_weight=maybe", "expected true or false"),
        ("target_platform=rk3566", "use --chip"),
        ("mean_values=[0]", "use --mean"),
        ("quantized_algorithm=mmse", "use --algorithm"),
        ("quant_img_RGB2BGR=true", "use --color"),
        ("auto_hybrid_cos_thresh=high", "expected a number"),
        ("memory_plan_strategy=1", "expected a text"),
        ("optimization_level", "expected key=value"),
        ("op_target={", "not readable as YAML"),
    ],
)
def test_bad_toolkit_option(folder: Path, change: str, words: str) -> None:
    fault = mistake(folder, change)
    assert fault.code == "bad-option"
    assert words in fault.message


def test_toolkit_options_are_those_of_the_version(folder: Path) -> None:
    assert read(folder, "compute_order=DepthFirst").config
    assert (
        "unknown option of rknn-toolkit2 compute_order"
        in mistake(folder, "compute_order=DepthFirst", toolkit_version="2.2.0").message
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"size": "640"}, "640x480"),
        ({"size": "0x480"}, "640x480"),
        ({"mean": "1,two,3"}, "numbers with commas"),
        ({"std": "58,0,57"}, "other than 0"),
        ({"max_images": "0"}, "a whole number above 0"),
        ({"jobs": "-1"}, "a whole number above 0"),
        ({"timeout": "soon"}, "seconds"),
        ({"timeout": "nan"}, "seconds"),
        ({"timeout": "0"}, "seconds"),
        ({"memory": "lots"}, "such as 512m or 4g"),
        ({"memory": "4t"}, "such as 512m or 4g"),
        ({"resize": "fit"}, "choose from letterbox, stretch, crop"),
        ({"resize": "letterboks"}, "did you mean letterbox?"),
        ({"engine": "podman"}, "choose from auto, docker, local"),
        ({"algorithm": "mse"}, "did you mean mmse?"),
        ({"python": "2.7"}, "choose from 3.11, 3.12, 3.10"),
        ({"variant": "slimm"}, "did you mean slim?"),
        ({"allow_dead": "perhaps"}, "true or false"),
        ({"chip": " , "}, "a chip name"),
    ],
    ids=str,
)
def test_bad_value_names_its_source_and_what_was_expected(
    folder: Path, flags: dict[str, str], words: str
) -> None:
    fault = mistake(folder, **flags)
    assert (fault.code, fault.exit_status) == ("bad-option", 2)
    assert words in fault.message
    assert f"--{next(iter(flags)).replace('_', '-')}" in fault.message
    assert "\n" not in fault.message


def test_source_of_a_bad_value_is_named(folder: Path) -> None:
    assert "RKFORGE_JOBS 'many'" in mistake(folder, environ={"RKFORGE_JOBS": "many"}).message
    assert "rkforge.yaml: jobs 'few'" in mistake(folder, file="jobs: few\n").message


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("datasett: images\n", "unknown key datasett: did you mean dataset?"),
        ("- a\n- b\n", "must be a mapping"),
        ("a: [\n", "cannot read"),
        ("model: a.onnx\nset: [1]\n", "set must be a mapping"),
    ],
)
def test_bad_file(folder: Path, file: str, words: str) -> None:
    assert words in mistake(folder, file=file, model=None).message


def test_empty_file_is_fine(folder: Path) -> None:
    assert read(folder, file="# nothing yet\n") == read(folder)


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ({"chip": None}, "bad-option"),
        ({"chip": "rk3855"}, "chip-unknown"),
        ({"model": None}, "model-missing"),
        ({"model": "none.onnx"}, "model-missing"),
        ({"dataset": "none"}, "dataset-missing"),
        ({"chip": "rk2118", "dtype": "int8"}, "dtype-unsupported"),
        ({"chip": "rv1126b", "toolkit_version": "2.2.0"}, "version-unsupported"),
        ({"chip": "rk3588,rk3566", "output": "m.rknn"}, "output-invalid"),
    ],
    ids=str,
)
def test_what_cannot_be_done(folder: Path, flags: dict[str, Any], code: str) -> None:
    assert mistake(folder, **flags).code == code


def test_all_mistakes_are_reported_at_once_each_with_its_hint(folder: Path) -> None:
    fault = mistake(
        folder,
        "optimization_level=9",
        chip="rk3588,rv1106",
        dtype="fp16",
        size="big",
        dataset="none",
        jobs="0",
    )
    lines = fault.message.splitlines()
    assert lines[0] == "5 mistakes:"
    assert len(lines) == 6
    for words in (
        "--size 'big'",
        "--jobs '0'",
        "dataset none",
        "rv1106 cannot use fp16",
        "choose from 0, 1, 2, 3",
    ):
        assert sum(words in line for line in lines) == 1
    assert all(line.endswith(")") for line in lines[1:])


def test_a_mistake_that_several_chips_share_is_told_once(folder: Path) -> None:
    assert mistake(folder, "optimization_level=9", chip="rk3588,rk3566").message.count("choose from") == 1


HYBRID = {"conv": "dynamic_fixed_point-i16", "head/conv:0": "dynamic_fixed_point-i16"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", {}),
        ("conv=dynamic_fixed_point-i16, head/conv:0 = dynamic_fixed_point-i16", HYBRID),
        (json.dumps(HYBRID), HYBRID),
        ("layers.yaml", HYBRID),
        ("vendors.cfg", HYBRID),
    ],
)
def test_hybrid_is_read_from_text_and_from_files(
    folder: Path, text: str, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "layers.yaml").write_text(yaml.safe_dump(HYBRID))
    (folder / "vendors.cfg").write_text(
        yaml.safe_dump({"customized_quantize_layers": HYBRID, "quantize_parameters": {"@conv:out0": {}}})
    )
    monkeypatch.chdir(folder)
    assert read(folder, chip="rv1126", hybrid=text).hybrid == expected


def test_hybrid_is_a_mapping_in_the_file(folder: Path) -> None:
    file = f"model: a.onnx\nchip: rv1126\nhybrid: {json.dumps(HYBRID)}\n"
    assert read(folder, file=file, model=None, chip=None).hybrid == HYBRID


@pytest.mark.parametrize(
    "text", ["conv", "conv=", "=float32", "{}", "[1]", "none.yaml", "{a: 1}", "a=float32,b"]
)
def test_hybrid_that_names_no_layer(folder: Path, text: str) -> None:
    fault = mistake(folder, chip="rv1126", hybrid=text)
    assert fault.code == "bad-option"
    assert "layer=format" in fault.message and "--hybrid" in fault.message


def test_hybrid_formats_are_those_of_the_toolkit(folder: Path) -> None:
    assert (
        "did you mean dynamic_fixed_point-i16?"
        in mistake(folder, chip="rv1126", hybrid="conv=dynamic_fixed_point-16").message
    )


def test_hybrid_is_offered_by_some_toolkits_only(folder: Path) -> None:
    fault = mistake(folder, chip="rk3588,rv1126", hybrid="auto")
    assert (fault.code, fault.exit_status) == ("dtype-unsupported", 3)
    assert "rknn-toolkit2" in fault.message
    assert fault.hint == "rknn-toolkit has it: rk1808, rk1806, rk3399pro, rv1109, rv1126."


def test_model_of_several_files(folder: Path) -> None:
    both = (folder / "a.onnx", folder / "b.onnx")
    assert read(folder, model=os.pathsep.join(map(str, both))).models == both
    assert read(folder, model=None, file="model:\n  - a.onnx\n  - b.onnx\n").models == both
    assert "c.onnx does not exist" in mistake(folder, model=f"{both[0]}{os.pathsep}c.onnx").message


@pytest.mark.parametrize("text", ["", "1x", "1x3xhxw", "0x3", "1x3,"])
def test_shapes_are_numbers(folder: Path, text: str) -> None:
    assert "1x3x224x224,1x10" in mistake(folder, input_sizes=text or ",").message


def test_options_values_are_those_of_the_toolkit(folder: Path) -> None:
    assert read(folder, algorithm="gdq").algorithm == "gdq"
    fault = mistake(folder, algorithm="gdq", chip="rv1126")
    assert "choose from normal, mmse, kl_divergence, moving_average" in fault.message
    assert read(folder, "mmse_epoch=5", chip="rv1126").config == {"mmse_epoch": 5}
    fault = mistake(folder, "mmse_epoch=5")
    assert "unknown option of rknn-toolkit2" in fault.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("reorder_channel=2 1 0", "use --color"),
        ("quantized_dtype=nonsense", "choose from asymmetric_affine-u8"),
        ("batch_size=none", "expected a whole number"),
        ("batch_size=true", "expected a whole number"),
        ("need_horizontal_merge=1", "expected true or false"),
    ],
)
def test_options_whose_values_nobody_checks_later(folder: Path, change: str, words: str) -> None:
    assert words in mistake(folder, change, chip="rv1126").message


def test_options_are_spelled_as_they_are_read(folder: Path) -> None:
    named = {
        "custom_string": "2024",
        "op_target": {"Conv_0": "cpu", "1": None},
        "dynamic_input": [[[1, 3, 8, 8]]],
        "auto_hybrid_cos_thresh": 0.00001,
        "auto_hybrid_euc_thresh": None,
        "compiler_control_file": "a: b # c\nGröße = 'x'",
        "remove_weight": True,
    }
    read_again = read(folder, *spelled(named)).config
    assert read_again == named
    assert [*map(type, read_again.values())] == [*map(type, named.values())]


@pytest.mark.parametrize(
    ("options", "other"),
    [
        ({"chip": "rv1126", "toolkit_version": "2.5.0"}, "--chip rv1126b"),
        ({"chip": "rv1126", "dtype": "w4a16"}, "--chip rv1126b"),
        ({"chip": "rv1126b", "toolkit_version": "1.7.5"}, "--chip rv1126"),
        ({"chip": "rv1126b", "dtype": "dynamic_fixed_point-i8"}, "--chip rv1126"),
    ],
    ids=str,
)
def test_what_belongs_to_a_chip_of_nearly_the_same_name_is_answered_with_it(
    folder: Path, options: dict[str, Any], other: str
) -> None:
    assert mistake(folder, **options).hint.endswith(f"use {other}.")
