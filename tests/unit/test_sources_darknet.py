"""The Darknet bridge: what .cfg and .weights files say, and that the graph computes what others compute."""

import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.graph.prepare import prepare
from host.sources import darknet
from host.sources.darknet import cfg, weights
from host.sources.darknet.cfg import Network
from host.sources.onnx.trial import run
from shared.faults import Fault
from tests import darknets

TOLERANCE = 1e-4
NET = "[net]\nwidth=64\nheight=48\nchannels=3\n"
CONV = "[convolutional]\nbatch_normalize=1\nfilters={}\nsize={}\nstride={}\npad=1\nactivation={}\n"
ANCHORS = "anchors = 10,14, 23,27, 37,58, 81,82, 135,169, 344,319\n"
YOLO = "[yolo]\nmask={}\n" + ANCHORS + "classes=4\nnum=6\n{}"
PLAIN = "[convolutional]\nfilters={}\nsize=1\nstride=1\npad=1\nactivation={}\n"


def conv(filters: int = 8, size: int = 3, stride: int = 1, activation: str = "leaky") -> str:
    return CONV.format(filters, size, stride, activation)


def two_grids(plain: str = PLAIN.format(27, "linear"), options: str = "") -> str:
    """A detector with grids of 4x3 and 8x6 cells, as yolov3-tiny ends."""
    body = conv(8, 3, 2) + conv(12, 3, 2) + conv(16, 3, 2) + conv(24, 3, 2)
    coarse = plain + YOLO.format("3,4,5", options)
    fine = "[route]\nlayers=-3\n" + conv(8, 1) + "[upsample]\nstride=2\n[route]\nlayers=-1,2\n" + conv()
    return body + coarse + fine + plain + YOLO.format("0,1,2", options)


NETWORKS = {
    # YOLOv4-tiny's: half of the channels goes its own way
    "grouped-route": conv(16)
    + "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n"
    + conv(8)
    + conv(8)
    + "[route]\nlayers=-1,-2\n"
    + conv(16, 1)
    + "[route]\nlayers=0,-1\n[maxpool]\nsize=2\nstride=2\n",
    "yolov3": two_grids(),
    "yolov4": two_grids(options="scale_x_y=1.1\n"),
    "yolov4-csp": two_grids(PLAIN.format(27, "logistic"), "scale_x_y=2.0\nnew_coords=1\n"),
    # YOLOv2's: finer cells become channels, in an order of its own
    "yolov2": conv(16, 3, 2)
    + conv(16, 3, 2)
    + conv(32, 3, 2)
    + "[route]\nlayers=1\n[reorg]\nstride=2\n[route]\nlayers=-1,-3\n"
    + PLAIN.format(27, "linear")
    + "[region]\nanchors=0.57,0.67, 1.87,2.06, 3.33,5.47\nclasses=4\ncoords=4\nnum=3\nsoftmax=1\n",
    "spatial-pyramid": conv(8)
    + "[maxpool]\nstride=1\nsize=5\n[route]\nlayers=-2\n"
    + "[maxpool]\nstride=1\nsize=9\n[route]\nlayers=-1,-3,-4\n",
    "pool-of-stride-1": conv(8) + "[maxpool]\nsize=2\nstride=1\n",
    "odd-pool": conv(8)
    + "[maxpool]\nsize=3\nstride=2\n[maxpool]\nsize=2\nstride=2\n[maxpool]\nsize=2\nstride=2\n",
    "fewer-channels": conv(16) + conv(8) + "[shortcut]\nfrom=-2\nactivation=leaky\n",
    "groups": conv(16) + conv(16).replace("pad=1", "pad=1\ngroups=4"),
    "squeeze": conv(16)
    + "[avgpool]\n"
    + PLAIN.format(16, "logistic")
    + "[scale_channels]\nfrom=0\n"
    + conv(8),
    "attention": conv(16) + PLAIN.format(16, "logistic") + "[sam]\nfrom=-2\n",
    "classifier": conv(8, 3, 2)
    + "[dropout]\nprobability=.5\n[connected]\noutput=12\nactivation=relu\n"
    + "[connected]\noutput=5\nactivation=linear\n[softmax]\ngroups=1\n[cost]\ntype=sse\n",
    **{
        f"activation-{name}": conv(8) + PLAIN.format(8, name)
        for name in ("linear", "leaky", "relu", "mish", "swish", "logistic", "tanh")
    },
}


REAL = sorted((Path(__file__).parents[1] / "data" / "darknet").glob("*.cfg"))


def written(folder: Path, text: str) -> Path:
    path = folder / "net.cfg"
    path.write_text(text, encoding="utf-8")
    return path


def with_weights(folder: Path, text: str, version: Sequence[int] = darknets.ORIGINAL) -> tuple[Path, Path]:
    path, numbers = written(folder, text), folder / "net.weights"
    darknets.write_weights(numbers, cfg.read(path), version=version)
    return path, numbers


def refused(text: str, folder: Path) -> Fault:
    with pytest.raises(Fault) as caught:
        cfg.read(written(folder, text))
    return caught.value


def output(path: Path, numbers: Path) -> tuple[Network, darknets.Array]:
    """What the bridge's graph computes of noise."""
    network = cfg.read(path)
    proto = darknet.to_onnx(path, numbers)
    onnx.checker.check_model(proto, full_check=True)
    (array,) = run(proto, {"data": darknets.image(network)})
    return network, array


@pytest.mark.parametrize(
    "text",
    [*(NET + body for body in NETWORKS.values()), *(path.read_text(encoding="utf-8") for path in REAL)],
    ids=[*NETWORKS, *(path.stem for path in REAL)],
)
def test_computes_what_opencv_computes(text: str, tmp_path: Path) -> None:
    path, numbers = with_weights(tmp_path, text)
    network, array = output(path, numbers)
    expected = darknets.of_opencv(path, numbers, darknets.image(network))
    found = darknets.of_bridge(array, network)
    assert found.std() / found.max() > 1e-2, "outputs that are all alike would prove nothing"
    assert np.isfinite(expected).mean() > 0.3
    assert darknets.apart(expected, found) < TOLERANCE


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        ("elu", lambda x: np.where(x > 0, x, np.expm1(x))),
        ("hardtan", lambda x: x.clip(-1, 1)),
        ("loggy", lambda x: 2 / (1 + np.exp(-x)) - 1),
        ("ramp", lambda x: x * (x > 0) + 0.1 * x),
        ("relie", lambda x: np.where(x > 0, x, 0.01 * x)),
        ("relu6", lambda x: x.clip(0, 6)),
        ("selu", lambda x: 1.0507 * np.where(x > 0, x, 1.6732 * np.expm1(x))),
    ],
)
def test_activations_that_opencv_does_not_know(activation, formula, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """As activations.h has them."""
    path, numbers = with_weights(tmp_path, NET + conv(activation="linear"))
    _, values = output(path, numbers)
    _, found = output(written(tmp_path, NET + conv(activation=activation)), numbers)
    assert values.min() < -1 < 1 < values.max()
    assert np.allclose(found, formula(values), atol=1e-5)


def test_temperature_as_darknet_has_it(tmp_path: Path) -> None:
    """OpenCV leaves it out."""
    text = NET + conv(4, 3, 2) + "[avgpool]\n[softmax]\n"
    path, numbers = with_weights(tmp_path, text)
    _, plain = output(path, numbers)
    _, cooled = output(written(tmp_path, text + "temperature=3\n"), numbers)
    powers = np.exp(np.log(plain) / 3)
    assert np.allclose(cooled, powers / powers.sum(), atol=1e-6)
    assert np.abs(cooled - plain).max() > 1e-2


def test_shortcut_from_a_larger_image_takes_every_other_pixel(tmp_path: Path) -> None:
    """Debian's resnet*.cfg have them (OpenCV refuses those): the first channels of the larger are added."""
    head = conv(4) + conv(6, 3, 2)
    path, numbers = with_weights(tmp_path, NET + head)
    _, last = output(path, numbers)
    _, summed = output(written(tmp_path, NET + head + "[shortcut]\nfrom=0\nactivation=linear\n"), numbers)
    _, first = output(*with_weights(tmp_path, NET + conv(4)))
    assert np.allclose(summed[:, :4], last[:, :4] + first[:, :, ::2, ::2], atol=1e-5)
    assert np.array_equal(summed[:, 4:], last[:, 4:])


def test_crop_takes_the_middle_and_doubles(tmp_path: Path) -> None:
    path = written(tmp_path, NET + "[crop]\ncrop_width=60\ncrop_height=40\n")
    (tmp_path / "net.weights").write_bytes(struct.pack("<3iq", 0, 2, 0, 0))
    network, array = output(path, tmp_path / "net.weights")
    assert np.allclose(array, darknets.image(network)[:, :, 4:44, 2:62] * 2 - 1, atol=1e-6)


@pytest.mark.parametrize(
    ("version", "deviation"),
    [(darknets.ORIGINAL, lambda v: np.sqrt(v) + 1e-6), (darknets.FORK, lambda v: np.sqrt(v + 1e-5))],
)
def test_a_dead_channel_is_normalized_as_its_own_darknet_does(version, deviation, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = written(
        tmp_path,
        "[net]\nwidth=1\nheight=1\nchannels=1\n[convolutional]\nbatch_normalize=1\nactivation=linear\n",
    )
    variance = 1e-8
    numbers = struct.pack("<3iq5f", *version, 0, 0.0, 1.0, 0.0, variance, 1.0)
    (tmp_path / "net.weights").write_bytes(numbers)
    network, array = output(path, tmp_path / "net.weights")
    assert array.item() == pytest.approx(darknets.image(network).item() / deviation(variance), rel=1e-5)


def test_nodes_have_the_numbers_that_darknet_prints(tmp_path: Path) -> None:
    path, numbers = with_weights(tmp_path, NET + NETWORKS["yolov3"])
    proto = darknet.to_onnx(path, numbers)
    names = {node.name for node in proto.graph.node}
    assert {"conv_0", "leaky_0", "conv_4", "upsample_8", "route_9", "yolo_5/anchor_0", "output"} <= names
    assert [entry.version for entry in proto.opset_import] == [12]


@pytest.mark.parametrize(
    ("name", "family", "reach"),
    [
        ("yolov3", "yolov3", 1.0),
        ("yolov4", "yolov3", 1.1),
        ("yolov4-csp", "yolov5", None),
        ("yolov2", "yolov2", 1.0),
    ],
)
def test_its_detectors_are_cut_for_integers(
    name: str, family: str, reach: float | None, tmp_path: Path
) -> None:
    path, numbers = with_weights(tmp_path, NET + NETWORKS[name])
    prepared = prepare(darknet.to_onnx(path, numbers))
    assert prepared.decode.family == family and prepared.decode.layout != "raw"
    grids = cfg.read(path).grids
    order = [prepared.decode.strides.index(64 // grid.inner[2]) for grid in grids]
    found = [prepared.decode.anchors[place] for place in order]
    assert np.allclose(found, [grid.anchors for grid in grids], rtol=1e-3)
    assert prepared.decode.reach == ((reach,) * len(grids) if reach else ())


def test_spaces_comments_and_repeated_options(tmp_path: Path) -> None:
    net = "\ufeff# a comment\r\n[ net ]\r\nwidth = 6 4\nheight=48 ; rows\nchannels=3\n\n"
    text = net + "[conv]\n filters = 5\nfilters=7\n"
    network = cfg.read(written(tmp_path, text))
    assert network.input == (3, 48, 64) and network.last.outer == (5, 48, 64)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "model-invalid", "begins with [net]"),
        ("[convolutional]\n", "model-invalid", "begins with [net]"),
        ("width=3\n", "model-invalid", "line 1: 'width' stands before"),
        ("[net]\nwidth=64\nheight=48\nchannels\n", "model-invalid", "line 4: 'channels' is neither"),
        (NET, "model-invalid", "0 layers follow"),
        ("[net]\nwidth=64\n[conv]\n", "model-invalid", "height, width and channels must be given"),
        (NET.replace("64", "1e9") + conv(), "model-invalid", "line 2, [net]: width=1e9 is no whole number"),
        (NET + "[convolutional]\nfilters=-1\n", "model-invalid", "line 6, [convolutional]: filters=-1"),
        (NET + "[convolutionnal]\n", "model-op", "is it [convolutional]?"),
        (NET + "[crnn]\n", "model-op", "[crnn]: rkforge has no such layer"),
        (NET + "[convolutional]\nxnor=1\n", "model-op", "xnor=1 is not supported"),
        (NET + conv(activation="leakyy"), "model-op", "is it leaky?"),
        (NET + conv() + "[route]\nlayers=-2\n", "model-invalid", "names no layer before this one"),
        (NET + conv() + conv(stride=2) + "[route]\nlayers=0,1\n", "model-shape", "layer 1: 32x24x8"),
        (NET + conv(size=99).replace("pad=1", "pad=0"), "model-shape", "layer 0 would give"),
        (
            NET + conv(30) + YOLO.format("0,1,2", ""),
            "model-invalid",
            "need 27 channels, the layer before has 30",
        ),
        (NET + conv(27) + YOLO.format("0,1,9", ""), "model-invalid", "mask=9"),
        (
            NET + conv(27) + "[yolo]\nnum=3\nclasses=4\nanchors=1,2\n",
            "model-invalid",
            "6 numbers in anchors=",
        ),
        (NET + conv(27) + "[region]\nanchors=1,2\nclasses=22\ntree=9k.tree\n", "model-op", "tree=9k.tree"),
        (
            NET + two_grids().replace("classes=4", "classes=3", 1).replace("filters=27", "filters=24", 1),
            "model-invalid",
            "its detectors' classes= differ",
        ),
        (NET + conv(activation="nan") + "\0", "model-invalid", "no Darknet .cfg"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, code: str, said: str, tmp_path: Path) -> None:
    fault = refused(text, tmp_path)
    assert fault.code == code and said in fault.message and fault.hint


VALUES = (
    "",
    "0",
    "-1",
    "7",
    "1048576",
    "99999999999",
    "1e400",
    "nan",
    "0.5",
    ",",
    "1,,2",
    "-1,-2",
    "mish",
    "=",
)


@given(
    st.sampled_from(REAL),
    st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(["drop", "twice", *VALUES])), min_size=1, max_size=4
    ),
)
def test_a_changed_cfg_is_a_network_or_a_fault(path: Path, changes: list[tuple[int, str]]) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for place, change in changes:
        line = lines[place % len(lines)]
        kept = f"{line.partition('=')[0]}={change}"
        lines[place % len(lines)] = {"drop": "", "twice": f"{line}\n{line}"}.get(change, kept)
    with tempfile.TemporaryDirectory() as folder:
        try:
            cfg.read(written(Path(folder), "\n".join(lines)))
        except Fault as fault:
            assert fault.code.startswith("model-")


@pytest.mark.parametrize(
    ("version", "seen"), [((0, 1, 0), 4), ((0, 2, 0), 8), ((0, 2, 5), 8), ((1001, 0, 0), 4)]
)
def test_the_header_ends_where_its_version_says(version: tuple[int, ...], seen: int, tmp_path: Path) -> None:
    network = cfg.read(written(tmp_path, NET + "[avgpool]\n[connected]\noutput=2\nactivation=linear\n"))
    numbers = np.arange(weights.count(network), dtype="<f4")
    path = tmp_path / "net.weights"
    path.write_bytes(struct.pack("<3i", *version) + bytes(seen) + numbers.tobytes())
    _, arrays = weights.read(path, network)
    table = numbers[2:].reshape((3, 2) if version[0] else (2, 3))
    assert np.array_equal(arrays[1]["weights"], table.T if version[0] else table)
    assert np.array_equal(arrays[1]["biases"], [0, 1])


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda data: data[:-4], "model-data-missing", "the file was cut off"),
        (lambda data: data + bytes(4), "model-weights", "do not belong together"),
        (lambda data: data + b"x", "model-weights", "do not belong together"),
        (
            lambda data: data[: 20 + 4 * (4 * 8 + 8 * 3 * 9)],
            "model-data-missing",
            "ends with layer 0, it is a backbone",
        ),
        (lambda data: data[:11], "model-weights", "is no Darknet .weights file"),
        (
            lambda data: data[:20] + b"\xff" * 4 + data[24:],
            "model-weights",
            "conv_0 has biases that are not finite",
        ),
        (
            lambda data: data[:116] + b"\0\0\x80\xbf" + data[120:],
            "model-weights",
            "conv_0 has variances below zero",
        ),
    ],
)
def test_weights_that_are_not_the_networks(change, code: str, said: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path, numbers = with_weights(tmp_path, NET + conv() + conv())
    numbers.write_bytes(change(numbers.read_bytes()))
    with pytest.raises(Fault) as caught:
        darknet.to_onnx(path, numbers)
    assert caught.value.code == code and said in caught.value.message


def test_a_network_that_computes_nothing_is_refused(tmp_path: Path) -> None:
    path, numbers = with_weights(tmp_path, NET + "[dropout]\n[activation]\nactivation=linear\n")
    with pytest.raises(Fault, match="no layer that computes something"):
        darknet.to_onnx(path, numbers)


def test_opencv_still_reads_darknet() -> None:
    """Releases from 5 on do not; the comparison above would be lost."""
    assert hasattr(cv2.dnn, "readNetFromDarknet")
