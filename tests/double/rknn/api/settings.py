"""What `config` takes: each documented value, and nothing else."""

import re
from typing import Any, Dict, List

FAMILIES = (("rk1806", "rk1808", "rk3399pro"), ("rv1109", "rv1126"))
DTYPES = {
    "asymmetric_quantized-u8": "asymmetric_affine-u8",
    "asymmetric_affine-u8": "asymmetric_affine-u8",
    "dynamic_fixed_point-i8": "dynamic_fixed_point-i8",
    "dynamic_fixed_point-i16": "dynamic_fixed_point-i16",
}
CHOICES = {
    "quantized_dtype": tuple(DTYPES),
    "quantized_algorithm": ("normal", "mmse", "kl_divergence", "moving_average"),
    "optimization_level": (0, 1, 2, 3),
}
FLAGS = (
    "need_horizontal_merge",
    "quantize_input_node",
    "merge_dequant_layer_and_output_node",
    "model_pruning",
    "force_builtin_perm",
    "do_sparse_network",
    "remove_tensorflow_output_permute",
)
REORDER = re.compile(r"(0 1 2|2 1 0)(#(0 1 2|2 1 0))*$")


def check(values: Dict[str, Any]) -> None:
    """ValueError for what the documentation does not allow."""
    for name, choices in CHOICES.items():
        if values[name] not in choices or isinstance(values[name], bool):
            raise ValueError("%s %r: choose from %s" % (name, values[name], choices))
    for name in FLAGS:
        if not isinstance(values[name], bool):
            raise ValueError("%s %r is no bool" % (name, values[name]))
    for name, least in (("mmse_epoch", 1), ("batch_size", 1), ("epochs", -1)):
        if type(values[name]) is not int or values[name] < least or values[name] == 0:
            raise ValueError("%s %r is no such number" % (name, values[name]))
    reorder = values["reorder_channel"]
    if reorder is not None and not REORDER.match(reorder):
        raise ValueError("reorder_channel %r: '0 1 2' or '2 1 0', with # between inputs" % reorder)
    _check_platform(values["target_platform"])
    for name in ("mean_values", "std_values"):
        _check_channels(name, values[name])
    if values["channel_mean_value"] is not None and (values["mean_values"] or values["std_values"]):
        raise ValueError("channel_mean_value excludes mean_values and std_values")


def _check_platform(names: Any) -> None:
    if not isinstance(names, list) or not names:
        raise ValueError("target_platform %r is no list" % (names,))
    if not any(all(name in family for name in names) for family in FAMILIES):
        raise ValueError("target_platform %r is not of one family: %s" % (names, FAMILIES))


def _check_channels(name: str, values: Any) -> None:
    if values is None:
        return
    if not isinstance(values, list) or not all(isinstance(each, list) and each for each in values):
        raise ValueError("%s %r is no list of lists" % (name, values))
    numbers: List[Any] = [number for each in values for number in each]
    if any(type(number) not in (int, float) for number in numbers):
        raise ValueError("%s %r holds more than numbers" % (name, values))
    if name == "std_values" and 0 in numbers:
        raise ValueError("std_values %r has a zero" % values)


def check_inputs(values: Dict[str, Any], shapes: List[List[int]]) -> None:
    """ValueError when mean and std are not one list per input with one number per channel."""
    for name in ("mean_values", "std_values"):
        given = values[name]
        if given is None:
            continue
        if len(given) != len(shapes):
            raise ValueError("%s is for %d inputs, the model has %d" % (name, len(given), len(shapes)))
        for number, (each, shape) in enumerate(zip(given, shapes)):
            if len(shape) > 1 and len(each) != shape[1]:
                raise ValueError("%s of input %d: %d instead of %d" % (name, number, len(each), shape[1]))
