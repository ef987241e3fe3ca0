"""What a result says about itself: the card inside the .rknn, and model.decode.json beside it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from host.decoding.contract import Output
from host.plan import Plan
from host.results import card, decode
from host.settings import Settings
from host.steps.models import Model
from host.steps.staging import Staged
from shared import chips, rknn_file
from shared.contract import Result
from shared.faults import Fault

OPTION = "custom_string"
"""The toolkit's option that puts a text into the file; not every toolkit has it."""


def options(settings: Settings, each: Plan, staged: Staged, model: Model) -> dict[str, Any]:
    """What the card adds to the toolkit's `config`.

    Raises:
        Fault: bad-option when the file of labels is one for another model.
    """
    names = _labels(settings, staged, model)
    keys = chips.toolkit(each.environment.toolkit).config_keys[each.environment.version]
    if OPTION not in keys:
        return {}
    image = next((given.image for given in staged.inputs if given.image), None)
    text = card.make(settings.model.stem, model.decode, names, image and image.to_json())
    return {OPTION: text}


def write(settings: Settings, each: Plan, staged: Staged, model: Model, result: Result, folder: Path) -> None:
    """Write model.decode.json to `folder`, where the job's artefact lies."""
    assert result.artifact is not None
    readable = result.artifact.platform is not None
    file = rknn_file.read(str(folder / result.artifact.file)) if readable else None
    names = _labels(settings, staged, model)
    meant = model.decode
    if file and not meant.outputs:
        meant = replace(meant, outputs=tuple(Output(one.name, tuple(one.shape)) for one in file.outputs))
    content = decode.document(meant, settings.model.stem, each.chip, names, staged.inputs, file)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (folder / decode.NAME).write_text(text, encoding="utf-8")


def _labels(settings: Settings, staged: Staged, model: Model) -> tuple[str, ...]:
    """The class names, where they are as many as the head has classes."""
    classes = model.decode.classes
    if classes in (0, len(staged.labels)):
        return staged.labels
    if settings.labels:
        raise Fault(
            "bad-option",
            f"labels: {settings.labels} has {len(staged.labels)} names, the model has {classes} classes",
            "Give the names that the model was trained with, one a line.",
        )
    return ()
