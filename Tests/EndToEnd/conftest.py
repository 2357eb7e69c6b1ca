"""Fixtures of the end-to-end tests: the built program, and a workbench per test that leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api_server import ApiServer
from aws import Moto
from browser import Browser
from exporter import Workbench, generate, is_root
from kube_cluster import PROBES, KubeCluster
from peers import Stage
from s3_proxy import S3Proxy

PROGRAM_VARIABLE = "SIDEREAL_EXPORT"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: at the end, nothing would go on beside them."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def program() -> Path:
    """The program under test."""
    named = os.environ.get(PROGRAM_VARIABLE)
    if not named:
        pytest.exit(f"set {PROGRAM_VARIABLE} to the built program, as `make end-to-end` does", returncode=2)
    path = Path(named).resolve()
    if not os.access(path, os.X_OK):
        pytest.exit(f"{PROGRAM_VARIABLE} names {path}, which is no program that can be run", returncode=2)
    return path


@pytest.fixture
def bench(program: Path, tmp_path: Path) -> Iterator[Workbench]:
    """A directory, secrets and processes of one test. All processes are gone when the test ends."""
    workbench = Workbench(program, tmp_path)
    yield workbench
    workbench.close()


@pytest.fixture
def small_disk(bench: Workbench) -> Iterator[Callable[[str, int], Path]]:
    """Makes file systems of a few pages. Without the right to mount, tests of them fail: they are not left out."""
    mounted: list[Path] = []

    def mount(name: str, size: int) -> Path:
        assert is_root(), "mounting a small file system takes root; run the tests in a container"
        directory = bench.directory / name
        directory.mkdir()
        options = f"size={size},mode=0755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "sidereal-test", directory], check=True)
        mounted.append(directory)
        return directory

    yield mount
    bench.close()
    for directory in mounted:
        subprocess.run(["umount", directory], check=True)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Where peers play."""
    made = Stage()
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of a file."""
    made = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield made
    made.close()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """AWS on loopback: it takes seconds to start, so all tests share it, each with buckets of its own."""
    server = Moto(tmp_path_factory.mktemp("moto"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A Kubernetes API server that tests share, each with namespaces of its own; whoever stops one has one of its own."""
    server = ApiServer(tmp_path_factory.mktemp("kubernetes"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def own_api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server of one file of tests alone: coordinators read the results of all namespaces."""
    made = ApiServer(tmp_path_factory.mktemp("kubernetes"))
    yield made
    made.close()


@pytest.fixture
def server(own_api_server: ApiServer) -> Iterator[ApiServer]:
    """The server, with nothing that another test has left."""
    yield own_api_server
    own_api_server.wipe(PROBES)


@pytest.fixture
def clusters(server: ApiServer) -> Iterator[list[KubeCluster]]:
    """What a test puts there is closed with it."""
    made: list[KubeCluster] = []
    yield made
    for cluster in made:
        cluster.close()


@pytest.fixture
def proxy(moto: Moto) -> Iterator[S3Proxy]:
    """Something between the exporter and AWS that records and misbehaves."""
    server = S3Proxy(moto.port)
    yield server
    server.close()


@pytest.fixture(scope="session")
def results(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Synthetic results by count, made once per session; tests only read them."""
    directory = tmp_path_factory.mktemp("results")
    made: dict[int, Path] = {}

    def get(count: int) -> Path:
        if count not in made:
            made[count] = generate(program, count, directory / f"results-{count}.ndjson")
        return made[count]

    return get
