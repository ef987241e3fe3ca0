"""Flags are the table of settings, whatever the task."""

from inspect import signature
from typing import Any

import tasks
from host.flags import LISTS, given, takes
from host.settings import SETTINGS, Settings


def test_convert_takes_every_setting_but_the_exporters_own() -> None:
    parameters = signature(tasks.convert.body).parameters
    missing = {each.name for each in SETTINGS if each.name.replace("-", "_") not in parameters}
    assert missing == {"opset"}


def test_switches_follow_the_defaults() -> None:
    parameters = signature(tasks.convert.body).parameters
    assert parameters["cache"].default is Settings(("rk3588",), ()).cache is True
    assert parameters["allow_dead"].default is False
    assert parameters["dtype"].default is None
    assert all(parameters[name].default == [] for name in LISTS)


def test_only_what_was_given_becomes_a_text() -> None:
    @takes(["cache", "analysis", "model", "size"])
    def body(own: bool = False, **flags: Any) -> None: ...

    defaults = {name: each.default for name, each in signature(body).parameters.items()}
    assert set(defaults) == {"own", "cache", "analysis", "model", "size"}
    assert not any(given(defaults).values())
    texts = given({**defaults, "cache": False, "analysis": True, "size": "3x4", "model": ["a", "b"]})
    assert {name: text for name, text in texts.items() if text} == {
        "cache": "false",
        "analysis": "true",
        "size": "3x4",
        "model": "a:b",
    }
