"""Settings as flags of a task: made from their table, so that no flag is missing or differs."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from inspect import Parameter, Signature, signature
from typing import Any

from host.settings import SETTINGS, Setting, Settings

LISTS = ["model"]
"""Settings whose flag can be repeated."""
_DEFAULTS = {field.name: field.default for field in fields(Settings)}

Body = Callable[..., None]


def takes(names: Iterable[str]) -> Callable[[Body], Body]:
    """Give a task these settings as flags; their values come as keyword arguments, for `given`."""

    def decorate(body: Body) -> Body:
        own = [each for each in signature(body).parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        flags = [_flag(setting) for setting in SETTINGS if setting.name in names]
        vars(body)["__signature__"] = Signature([*own, *flags])  # Invoke makes its flags from this
        return body

    return decorate


def given(flags: Mapping[str, Any]) -> dict[str, str | None]:
    """Setting name -> text, or None where the flag was not given."""
    texts: dict[str, str | None] = {}
    for setting in SETTINGS:
        value = flags.get(_parameter(setting))
        if isinstance(value, bool):
            value = None if value == _DEFAULTS[setting.field] else str(value).lower()
        texts[setting.name] = (os.pathsep.join(value) or None) if isinstance(value, list) else value
    return texts


def _flag(setting: Setting) -> Parameter:
    usual = _DEFAULTS[setting.field]
    default: Any = [] if setting.name in LISTS else usual if isinstance(usual, bool) else None
    return Parameter(_parameter(setting), Parameter.KEYWORD_ONLY, default=default)


def _parameter(setting: Setting) -> str:
    return setting.name.replace("-", "_")
