"""Which graphs the known regressions concern, and what the user's own wishes do to that."""

from typing import Any

import pytest
from onnx import ModelProto

from host.graph import regressions
from host.graph.regressions import OPTION, without
from shared import chips
from shared.chips import Regression
from tests import models

KNOWN = chips.toolkit("toolkit2").regressions["2.5.0"]
SPLIT, ATTENTION = KNOWN


def test_rules_of_the_table_are_those_that_were_seen_to_crash() -> None:
    assert SPLIT == "seperate_conv_rs_split"
    assert ATTENTION == "fuse_exmatmul_add_mul_exsoftmax13_exmatmul_to_sdpa"


@pytest.mark.parametrize("toolkit", chips.toolkits().values(), ids=lambda toolkit: str(toolkit.name))
def test_every_regression_has_a_version_a_check_and_a_reason(toolkit: chips.Toolkit) -> None:
    assert set(toolkit.regressions) <= set(toolkit.versions)
    for version, rules in toolkit.regressions.items():
        assert OPTION in toolkit.config_keys[version]
        for each in rules.values():
            assert each.when in (regressions.ALWAYS, *regressions.CHECKS) and each.why


@pytest.mark.parametrize(
    ("proto", "crashes"),
    [
        (models.attention(), True),
        (models.attention(turned=False), False),
        (models.attention(scale=True), False),
        (models.attention(mask=True), False),
        (models.attention(scale=True, mask=True), False),
        (models.conv(), False),
        (models.distances_head(), False),
    ],
    ids=[
        "plain",
        "the other way round",
        "scaled",
        "masked",
        "scaled and masked",
        "none",
        "softmax of no product",
    ],
)
def test_attention_is_left_unfused_where_it_would_crash(proto: ModelProto, crashes: bool) -> None:
    assert (ATTENTION in without({}, proto, KNOWN)[OPTION]) == crashes


def test_graph_without_a_known_regression_keeps_its_options() -> None:
    only = {ATTENTION: KNOWN[ATTENTION]}
    assert without({"optimization_level": 2}, models.conv(), only) == {"optimization_level": 2}
    assert without({}, models.attention(), {}) == {}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (None, [SPLIT, ATTENTION]),
        (["mine"], [SPLIT, ATTENTION, "mine"]),
        ([ATTENTION], [SPLIT, ATTENTION]),
        ([], []),
    ],
)
def test_rules_of_the_user_are_added_and_an_empty_list_leaves_all_in(own: Any, expected: list[str]) -> None:
    config = {} if own is None else {OPTION: own}
    assert without(config, models.attention(), KNOWN) == {OPTION: expected}
    assert config == ({} if own is None else {OPTION: own})


def test_record_tells_why_a_rule_was_left_out() -> None:
    known = {"bad": Regression("always", "it crashes")}
    assert regressions.reasons({OPTION: ["bad", "mine"]}, known) == {
        "bad": "it crashes",
        "mine": regressions.ASKED_FOR,
    }
    assert regressions.reasons({}, known) == {}
