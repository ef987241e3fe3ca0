"""What the engine asks of Docker and makes of its answers; tests/e2e and tests/images have real ones."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
from docker.errors import APIError
from requests import Response

from host.commands import environments
from host.console import Screen
from host.engines.docker import HARNESS_BYTES, LABEL, DockerEngine
from host.engines.protocol import Limits
from host.plan import Environment
from shared.faults import Fault

ENVIRONMENT = Environment("toolkit2", "2.5.0", "3.11", "full")
GOOD = {"Status": "exited", "ExitCode": 0, "OOMKilled": False}


def refusal(status: int, words: str) -> APIError:
    """Docker's answer to what it will not do."""
    response = Response()
    response.status_code = status
    return APIError(words, response, words)


class Container:
    """A container that ended."""

    def __init__(self, client: "Client", name: str, labels: Mapping[str, str]) -> None:
        self.client, self.name, self.labels = client, name, labels
        self.attrs = {"State": client.state}
        self.status = client.state["Status"]

    def reload(self) -> None:
        """It stays as it is."""

    def logs(self, tail: int) -> bytes:
        return b"".join([b"first\n", b"last words\xff\n"][-tail:])

    def remove(self, force: bool, v: bool) -> None:
        assert force and v
        self.client.there.remove(self)


class Client:
    """As much of the Docker SDK as the engine uses."""

    def __init__(self) -> None:
        self.containers = SimpleNamespace(run=self.run, list=self.find)
        self.images = SimpleNamespace(list=self.list_images, remove=self.remove_image)
        self.there: list[Container] = []
        self.ran: list[dict[str, Any]] = []
        self.state: Mapping[str, Any] = GOOD
        self.refused: list[APIError] = []
        """What the next calls are answered with."""
        self.built = [SimpleNamespace(id=f"sha256:{each}", tags=[f"rkforge/{each}"]) for each in "ab"]

    def ping(self) -> bool:
        return True

    def run(self, image: str, **options: Any) -> Container:
        assert image == ENVIRONMENT.image
        self.ran.append(options)
        if self.refused:
            raise self.refused.pop()
        self.there.append(Container(self, f"run-{len(self.ran)}", options["labels"]))
        return self.there[-1]

    def find(self, filters: Mapping[str, str], **_: Any) -> list[Container]:
        key, value = f"{filters['label']}=".split("=")[:2]
        return [each for each in self.there if value in ("", each.labels[key])]

    def list_images(self, filters: Mapping[str, str]) -> list[SimpleNamespace]:
        assert filters == {"label": "rkforge.toolkit"}
        return [*self.built]

    def remove_image(self, name: str, force: bool) -> None:
        assert force
        if self.refused:
            raise self.refused.pop()
        self.built = [each for each in self.built if each.id != name]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr(docker, "from_env", lambda: made)
    return made


@pytest.mark.parametrize(("jobs", "cores", "used"), [(1, 8, 2), (3, 8, 4), (3, 2, 2)])
def test_run_gets_what_its_jobs_may_use_and_nothing_else(
    client: Client, jobs: int, cores: int, used: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    other = Container(client, "other", {LABEL: str(tmp_path / "other")})
    client.there = [other]
    with DockerEngine().start(ENVIRONMENT, tmp_path, ["job-0001"], Limits(jobs, 2 << 30)) as running:
        assert not running.alive() and running.failure() is None
        assert [each.name for each in client.there] == ["other", "run-1"]
    (options,) = client.ran
    memory = jobs * (2 << 30) + HARNESS_BYTES
    assert (options["mem_limit"], options["memswap_limit"]) == (memory, memory)
    assert options["nano_cpus"] == used * 10**9
    assert options["command"] == ["--jobs", str(jobs), "/jobs/job-0001"]
    assert [(mount["Source"], mount["Target"]) for mount in options["mounts"]] == [(str(tmp_path), "/jobs")]
    assert (options["network_mode"], options["read_only"], options["cap_drop"]) == ("none", True, ["ALL"])
    assert options["security_opt"][0] == "no-new-privileges" and len(options["security_opt"]) == 2
    assert client.there == [other]


def test_engine_that_refuses_the_profile_is_used_without_it(client: Client, tmp_path: Path) -> None:
    client.refused = [refusal(500, "seccomp is not there")]
    with DockerEngine().start(ENVIRONMENT, tmp_path, [], Limits(1, 0)):
        assert client.ran[-1]["security_opt"] == ["no-new-privileges"]
    client.refused = [refusal(500, "no space")]
    with pytest.raises(Fault, match="no space") as caught:
        DockerEngine().start(ENVIRONMENT, tmp_path, [], Limits(1, 0)).__enter__()
    assert caught.value.code == "engine-lost" and len(client.ran) == 3


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        ({}, None, ""),
        ({"OOMKilled": True}, None, ""),  # one job was killed, and its harness said so
        ({"OOMKilled": True, "ExitCode": 137}, "out-of-memory", "ran out of memory"),
        ({"ExitCode": 137}, "engine-lost", "status 137: first\nlast words"),
    ],
)
def test_end_of_a_container_is_told_by_its_state(
    client: Client, state: Mapping[str, Any], code: str | None, words: str, tmp_path: Path
) -> None:
    client.state = {**GOOD, **state}
    with DockerEngine().start(ENVIRONMENT, tmp_path, [], Limits(1, 0)) as running:
        fault = running.failure()
    assert (fault and fault.code) == code
    assert fault is None or words in fault.message


@pytest.mark.parametrize(
    ("status", "alive"), [("created", True), ("running", True), ("exited", False), ("dead", False)]
)
def test_container_is_alive_until_it_ended(client: Client, status: str, alive: bool, tmp_path: Path) -> None:
    client.state = {**GOOD, "Status": status}
    with DockerEngine().start(ENVIRONMENT, tmp_path, [], Limits(1, 0)) as running:
        assert running.alive() == alive


def test_sweep_takes_what_was_interrupted_here(client: Client, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for batch in (mine / "lost", mine / "alive", theirs / "lost"):
        client.there.append(Container(client, f"{batch.parent.name}-{batch.name}", {LABEL: str(batch)}))
    assert DockerEngine().sweep(mine, lambda: {"alive"}) == ["mine-lost"]
    assert [each.name for each in client.there] == ["mine-alive", "theirs-lost"]


@pytest.mark.usefixtures("place")
def test_cleaning_removes_images_only_if_asked_to(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert environments.clean(False, Screen()) == 0
    assert len(client.built) == 2
    client.refused = [refusal(409, "in use")]
    assert environments.clean(True, Screen()) == 0
    said = capsys.readouterr()
    assert [each.id for each in client.built] == ["sha256:a"]
    assert "rkforge/a" in said.err and "removed image rkforge/b" in said.out and "rkforge/a" not in said.out
    client.refused = [refusal(500, "broken")]
    with pytest.raises(Fault, match="broken"):
        environments.clean(True, Screen())
