"""The ways from a format to a toolkit follow from the table of what reads what."""

import pytest

from host import routes
from shared import chips
from shared.faults import Fault

BOTH = chips.toolkits().values()


@pytest.mark.parametrize("toolkit", BOTH, ids=lambda toolkit: str(toolkit.name))
def test_onnx_goes_straight(toolkit: chips.Toolkit) -> None:
    (route,) = routes.find("onnx", toolkit)
    assert route == ("onnx", chips.reading(toolkit, "onnx")[0], "", "")


@pytest.mark.parametrize("toolkit", BOTH, ids=lambda toolkit: str(toolkit.name))
def test_darknet_goes_over_the_bridge_unless_the_loader_is_asked_for(toolkit: chips.Toolkit) -> None:
    assert [route.by for route in routes.find("darknet", toolkit)] == ["bridge", "native"]
    assert [route.by for route in routes.find("darknet", toolkit, darknet="native")] == ["native"]


@pytest.mark.parametrize("name", chips.formats())
@pytest.mark.parametrize("toolkit", BOTH, ids=lambda toolkit: str(toolkit.name))
def test_every_way_is_one_that_the_table_has(toolkit: chips.Toolkit, name: str) -> None:
    try:
        ways = routes.find(name, toolkit)
    except Fault as fault:
        assert fault.code == "model-format"
        assert not chips.reading(toolkit, name)
        return
    for way in ways:
        reads = name if way.by == routes.NATIVE else "onnx"
        assert reads in toolkit.variants[way.variant].formats
        if way.by == routes.EXPORT:
            assert name in chips.kit(way.exporter).variants[way.exporter_variant].formats
    assert [way.by for way in ways] == sorted(
        (way.by for way in ways), key=["onnx", "bridge", "native", "export"].index
    )


def test_every_format_reaches_some_chip() -> None:
    for name in chips.formats():
        reached = [
            toolkit.name
            for toolkit in BOTH
            if chips.reading(toolkit, name) or name in routes.BRIDGED or routes.into_onnx(name)
        ]
        assert reached, name


def test_variant_that_cannot_read_the_format_says_which_can() -> None:
    toolkit = chips.toolkit("legacy")
    with pytest.raises(Fault, match="reads no ONNX models there") as caught:
        routes.find("onnx", toolkit, "slim")
    assert caught.value.code == "bad-option" and "full" in caught.value.hint


def test_variant_without_the_loader_is_reached_through_onnx() -> None:
    """The slim variant has no TensorFlow: its models are exported first."""
    ways = routes.find("tflite", chips.toolkit("toolkit2"), "slim")
    assert {way.by for way in ways} == {routes.EXPORT} and {way.variant for way in ways} == {"slim"}
