"""Runs that are stopped from outside: whatever ends them, nothing runs on and nothing half-written stays."""

import os
import select
import signal
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from host.commands import environments
from host.console import Screen
from host.engines.docker import DockerEngine
from host.engines.protocol import Limits
from host.plan import Environment
from tests import models
from tests.conftest import ROOT, Command, Ended, command_line
from tests.e2e.conftest import Refused, cause, contents, earlier_result

PATIENCE_S = 60


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Arguments of a conversion that calibrates for minutes."""
    model = models.save(models.deep_conv(12), tmp_path_factory.mktemp("models") / "deep.onnx")
    return ("convert", "--chip", "rk3588", "--model", str(model), "--dtype", "int8", "--algorithm", "mmse")


@contextmanager
def started(
    arguments: tuple[str, ...], folder: Path, environment: dict[str, str], root: Path = ROOT
) -> Iterator["subprocess.Popen[str]"]:
    """A command in a process group of its own, once its toolkit works; stopped at the end if need be."""
    with subprocess.Popen(
        command_line(*arguments, root=root),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if " load " in line:
                    break
            else:
                pytest.fail("the command ended before its toolkit began")
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                process.communicate(timeout=PATIENCE_S)


def ended(process: "subprocess.Popen[str]") -> Ended:
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return Ended(process.returncode, stdout, stderr)


def containers(cache: Path) -> list[Any]:
    """The containers of this session's runs, stopped ones included."""
    import docker

    found = docker.from_env().containers.list(all=True, filters={"label": "rkforge.run"}, ignore_removed=True)
    return [
        one for one in found if any(mount["Source"].startswith(str(cache)) for mount in one.attrs["Mounts"])
    ]


def processes(cache: Path) -> dict[int, str]:
    """Number and command line of the processes that work in this session's job directories."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(cache / "jobs") in line:
            found[int(path.parent.name)] = line
    return found


def assert_nothing_left(engine: str, cache: Path) -> None:
    """Children that were killed may take a moment to vanish from the process table."""
    assert not any((cache / "jobs").glob("*"))
    left = containers if engine == "docker" else processes
    deadline = time.monotonic() + PATIENCE_S
    while left(cache):
        assert time.monotonic() < deadline, left(cache)
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_a_run_stops_all_of_it(
    engine: str,
    number: signal.Signals,
    endless: tuple[str, ...],
    tmp_path: Path,
    command_environment: dict[str, str],
    session_cache: Path,
) -> None:
    before = earlier_result(tmp_path / "out")
    with started((*endless, "--engine", engine, "--output", "out"), tmp_path, command_environment) as process:
        os.killpg(process.pid, number)
        stopped = ended(process)
    assert "stopped before the end" in cause(stopped, 130, "cancelled")
    assert contents(tmp_path / "out") == before
    assert not list((tmp_path / "out").glob("failed*"))
    assert_nothing_left(engine, session_cache)


@pytest.mark.docker
@pytest.mark.parametrize("way", ["remove", "kill"])
def test_container_gone(
    way: str,
    endless: tuple[str, ...],
    tmp_path: Path,
    command_environment: dict[str, str],
    session_cache: Path,
) -> None:
    before = earlier_result(tmp_path / "out")
    with started(
        (*endless, "--engine", "docker", "--output", "out"), tmp_path, command_environment
    ) as process:
        (container,) = containers(session_cache)
        if way == "remove":
            container.remove(force=True)
        else:
            container.kill()
        stopped = ended(process)
    cause(stopped, 4, "engine-lost")
    assert contents(tmp_path / "out") == before
    assert_nothing_left("docker", session_cache)


@pytest.mark.toolkit
def test_harness_killed(
    endless: tuple[str, ...],
    tmp_path: Path,
    command_environment: dict[str, str],
    session_cache: Path,
) -> None:
    before = earlier_result(tmp_path / "out")
    with started(
        (*endless, "--engine", "local", "--output", "out"), tmp_path, command_environment
    ) as process:
        (harness,) = [number for number, line in processes(session_cache).items() if "-m toolkit2" in line]
        os.kill(harness, signal.SIGKILL)
        stopped = ended(process)
    assert "memory ran out" in cause(stopped, 6, "out-of-memory")
    assert contents(tmp_path / "out") == before
    assert_nothing_left("local", session_cache)


@pytest.mark.docker
def test_cleaning_up_meanwhile_harms_no_container_and_no_image(
    endless: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command_environment: dict[str, str],
    session_cache: Path,
) -> None:
    """By somebody with another cache, who sees the same engine; of its images only the one in use."""
    arguments = (*endless, "--engine", "docker", "--output", "out")
    with started(arguments, tmp_path, command_environment):
        (container,) = containers(session_cache)
        monkeypatch.setenv("RKFORGE_CACHE_DIR", str(tmp_path / "other"))
        monkeypatch.setattr(DockerEngine, "images", lambda _engine: [container.image])
        assert environments.clean(True, Screen()) == 0
        assert [each.id for each in containers(session_cache)] == [container.id]
    (tag,) = container.image.tags
    told = capsys.readouterr().err
    assert "left alone" in told and tag in told


@pytest.mark.docker
@pytest.mark.usefixtures("converted")
@pytest.mark.parametrize("engine", ["docker"], indirect=True)
def test_interrupted_start_leaves_no_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the container's start and the engine's answer there is a moment for Ctrl-C, too."""
    import docker
    from docker.models.containers import Container

    start = Container.start

    def interrupted(container: Container) -> None:
        start(container)
        raise KeyboardInterrupt

    monkeypatch.setattr(Container, "start", interrupted)
    environment = Environment("toolkit2", "2.5.0", "3.11", "full")
    run = DockerEngine().start(environment, tmp_path, ["job-0001"], Limits(1, 1 << 30))
    with pytest.raises(KeyboardInterrupt), run:
        pytest.fail("the start was interrupted")
    label = f"rkforge.run={tmp_path}"
    assert docker.from_env().containers.list(all=True, filters={"label": label}) == []


@pytest.mark.docker
def test_containers_of_another_cache_are_left_alone(tmp_path: Path) -> None:
    import docker

    from host.engines.docker import LABEL, DockerEngine

    client, image = docker.from_env(), f"rkforge-test:{tmp_path.name}"
    client.api.import_image_from_data(b"", *image.split(":"))
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    made = {
        folder: client.containers.create(image, "x", labels={LABEL: str(folder / "batch-1")})
        for folder in (mine, theirs)
    }
    try:
        assert DockerEngine().sweep(mine, lambda: {"batch-1"}) == []
        assert DockerEngine().sweep(mine, set) == [made.pop(mine).name]
    finally:
        for container in made.values():
            container.remove()
        client.images.remove(image)


@contextmanager
def relay(path: Path) -> Iterator[Callable[[], None]]:
    """A socket at `path` that leads to the Docker engine until the function that comes out is called."""
    engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    open_sockets: list[socket.socket] = []

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as behind:
                behind.connect(engine)
                open_sockets.extend((self.request, behind))
                ends = {self.request: behind, behind: self.request}
                while data := [(end, end.recv(1 << 16)) for end in select.select(ends, [], [])[0]]:
                    for end, received in data:
                        if not received:
                            return
                        ends[end].sendall(received)

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Connections that are cut off on purpose."""

    with Server(str(path), Relay) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()

        def cut() -> None:
            path.unlink(missing_ok=True)
            for one in open_sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

        yield cut
        server.shutdown()


@pytest.mark.docker
def test_engine_gone(
    endless: tuple[str, ...],
    tmp_path: Path,
    command_environment: dict[str, str],
    session_cache: Path,
) -> None:
    """The engine's socket vanishes: the run ends all the same, only its container is out of reach."""
    before = earlier_result(tmp_path / "out")
    arguments = (*endless, "--engine", "docker", "--output", "out")
    environment = {**command_environment, "DOCKER_HOST": f"unix://{tmp_path}/engine"}
    with relay(tmp_path / "engine") as cut, started(arguments, tmp_path, environment) as process:
        cut()
        stopped = ended(process)
    (container,) = containers(session_cache)
    container.remove(force=True)
    assert "the Docker engine failed or is gone" in cause(stopped, 4, "engine-lost")
    assert contents(tmp_path / "out") == before
    assert_nothing_left("docker", session_cache)


@pytest.mark.toolkit
def test_output_of_a_run_at_work_is_refused(
    endless: tuple[str, ...],
    tiny: Path,
    tmp_path: Path,
    command_environment: dict[str, str],
    rkforge: Command,
) -> None:
    arguments = (*endless, "--engine", "local", "--output", "out")
    with started(arguments, tmp_path, command_environment):
        second = rkforge(
            "convert", "--chip", "rk3588", "--model", str(tiny), "--output", "out", "--engine", "local"
        )
    assert "another run is writing out/model.toolkit2.rknn" in cause(second, 2, "output-busy")
    assert not contents(tmp_path / "out")


def test_timeout(engine: str, refused: Refused, tiny: Path) -> None:
    arguments = (
        "--chip",
        "rk3566",
        "--model",
        str(tiny),
        "--engine",
        engine,
        "--timeout",
        "0.01",
        "--no-cache",
    )
    assert "Raise --timeout" in refused(8, "timeout", *arguments)


def test_memory_limit(engine: str, refused: Refused, tiny: Path) -> None:
    arguments = (
        "--chip",
        "rk3566",
        "--model",
        str(tiny),
        "--engine",
        engine,
        "--memory",
        "100m",
        "--no-cache",
    )
    assert "more than 100 MB" in refused(6, "out-of-memory", *arguments)


@pytest.mark.docker
def test_image_of_an_older_contract(refused: Refused, tiny: Path) -> None:
    """An empty image under the tag of an environment that few use; whatever bore the tag gets it back."""
    import docker
    from docker.errors import ImageNotFound

    environment = Environment("toolkit2", "2.2.0", "3.10", "slim")
    client = docker.from_env()
    try:
        present = client.images.get(environment.image)
    except ImageNotFound:
        present = None
    name, tag = environment.image.split(":")
    client.api.import_image_from_data(b"", repository=name, tag=tag, changes=["LABEL rkforge.contract=0"])
    old = client.images.get(environment.image)
    try:
        text = refused(
            *(5, "environment-outdated", "--chip", "rk3588", "--model", str(tiny), "--engine", "docker"),
            *("--toolkit-version", "2.2.0", "--python", "3.10", "--variant", "slim"),
        )
    finally:
        client.images.remove(environment.image)
        if present is not None:
            present.tag(name, tag)
    assert "speaks contract 0" in text
    assert "invoke build --toolkit toolkit2 --toolkit-version 2.2.0 --python 3.10 --variant slim" in text
    assert old.id not in [image.id for image in client.images.list()]
