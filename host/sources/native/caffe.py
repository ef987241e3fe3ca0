"""A Caffe network rewritten as the toolkits' loaders read it without mistakes.

They take the batch from the file, stumble over files of version 1 and over networks whose inputs are no
layers, and drop layers that they do not know without a word in their answer. So they get a network of layers
alone, from the inputs to the outputs that are wanted, its weights under the present schema. The layers' own
text stays as it was written: it holds parameters of forks that no schema here declares.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from host.sources.native.excerpt import Excerpt, require
from host.sources.readers import prototxt
from host.sources.readers.damage import damaged
from host.sources.readers.prototxt import Layer, Net
from host.sources.source import Interface, Port, TensorSpec
from shared.faults import Fault

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\[[^\]]*\]|[{}<>]|[^\s{}<>\[#"']+""")
_AFTERWARDS = ("DetectionOutput", "Yolov3DetectionOutput", "RegionDetectionOutput")
"""Layers that turn a detector's outputs into boxes: no toolkit has them, and programs do their work."""
_OF_TRAINING = ("blobs_lr", "weight_decay", "param", "blob_share_mode")
"""Fields of a layer of version 1 that the present schema has no place for."""


def excerpt(
    files: Mapping[str, Path], interface: Interface, inputs: Sequence[str], outputs: Sequence[str]
) -> Excerpt:
    """The network between blobs, by default from its own inputs to its last blobs that a loader can make.

    Raises:
        Fault: bad-option for blobs that are not there or do not hang together.
    """
    net: Net = interface.parsed
    ports = {port.name: port for port in net.inputs}
    blobs = [*ports, *(top for layer in net.layers for top in layer.tops)]
    require("--inputs", inputs, blobs)
    require("--outputs", outputs, blobs)
    after = [layer for layer in net.layers if layer.type in _AFTERWARDS] if not outputs else []
    starts, ends = tuple(inputs) or tuple(ports), tuple(outputs) or net.outputs(without=after)
    layers = _between(net, starts, ends)
    return Excerpt(
        inputs=tuple(ports.get(name, Port(name, (), "float32")) for name in starts),
        outputs=tuple(Port(name, (), "float32") for name in ends),
        operators=Counter(name for layer in layers for name in layer.operators),
        places={name: layer.name for layer in reversed(layers) for name in layer.operators},
        cure="Name blobs before it with --outputs.",
        notes=tuple(
            f"layer {layer.name!r} ({layer.type}) is left to the program: the outputs are {', '.join(ends)}"
            for layer in after
        ),
        rewrite=lambda specs, folder: _write(files, specs, layers, folder),
    )


def _between(net: Net, inputs: Sequence[str], outputs: Sequence[str]) -> tuple[Layer, ...]:
    """The layers that compute `outputs` from `inputs`, blobs both, in their order."""
    needed, kept = set(outputs), []
    for layer in reversed(net.layers):
        made = needed.intersection(layer.tops)
        # a layer that makes an input's blob anew lies before it; one that changes it in place, behind
        if made and not made <= set(inputs) - set(layer.bottoms):
            kept.append(layer)
            needed = needed - set(layer.tops) | set(layer.bottoms)
    if missing := sorted(needed - set(inputs)):
        raise Fault(
            "bad-option",
            f"--inputs and --outputs: {', '.join(outputs)} also needs {', '.join(missing)}",
            f"Name {'them' if len(missing) > 1 else 'it'} among --inputs, with --input-sizes.",
        )
    return tuple(reversed(kept))


def _write(
    files: Mapping[str, Path], inputs: Sequence[TensorSpec], layers: Sequence[Layer], folder: Path
) -> Mapping[str, Path]:
    """Write the network of these layers to a folder; returns its files by role."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {"prototxt": folder / "model.prototxt", "caffemodel": files["caffemodel"]}
    texts = (*map(_input, inputs), *_texts(files["prototxt"], layers))
    written["prototxt"].write_text("\n".join(texts) + "\n", encoding="utf-8")
    weights = prototxt.SCHEMA["NetParameter"]()
    weights.ParseFromString(files["caffemodel"].read_bytes())
    if weights.layers:
        present = prototxt.SCHEMA["NetParameter"]()
        for layer in prototxt.layers_of(weights):
            present.layer.add(name=layer.name, type=layer.type).blobs.extend(layer.message.blobs)
        written["caffemodel"] = folder / "model.caffemodel"
        written["caffemodel"].write_bytes(present.SerializeToString(deterministic=True))
    return written


def _input(spec: TensorSpec) -> str:
    shape = " ".join(f"dim: {length}" for length in spec.shape)
    name = json.dumps(spec.name)
    return f'layer {{ name: {name} type: "Input" top: {name} input_param {{ shape {{ {shape} }} }} }}'


def _texts(path: Path, layers: Sequence[Layer]) -> Iterator[str]:
    """The layers as they are written in the file."""
    blocks: dict[str, list[str]] = {"layer": [], "layers": []}
    for field, block in _fields(prototxt.text_of(path)):
        blocks.get(field, []).append(block)
    for layer in layers:
        field, number = layer.place
        if number >= len(blocks[field]):  # layers in [brackets], which nobody writes
            raise damaged(path, prototxt.TITLE, "its layers are not each in a block of their own")
        block = blocks[field][number]
        yield block if field == "layer" else _upgraded(layer, block)


def _upgraded(layer: Layer, block: str) -> str:
    """A layer of version 1 as one of the present version."""
    inner = [text for field, text in _fields(_inside(block)) if field not in (*_OF_TRAINING, "type")]
    return f'layer {{ type: "{layer.type}" {" ".join(inner)} }}'


def _inside(block: str) -> str:
    return block[block.index("{") + 1 : block.rindex("}")]


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Name and text of every outermost field of a message in protocol buffers' text format."""
    depth, start, name = 0, 0, ""
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word.startswith("#") or word in ";,":
            continue
        if word in "{<":
            depth += 1
        elif word in "}>":
            depth -= 1
        elif depth or word == ":":
            continue
        elif not name:
            name, _, value = word.partition(":")
            start = token.start()
            if not value:
                continue
        if not depth:
            yield name, text[start : token.end()]
            name = ""
