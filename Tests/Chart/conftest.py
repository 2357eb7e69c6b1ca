"""Fixtures of the chart's tests: the program, an API server, and the chart rendered for every set of values."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api_server import ApiServer
from chart import Rendered, render
from value_sets import VALID


@pytest.fixture(scope="session")
def program() -> Path:
    """The program whose configuration the chart writes."""
    named = os.environ.get("SIDEREAL_EXPORT")
    if not named or not os.access(named, os.X_OK):
        pytest.exit("set SIDEREAL_EXPORT to the built program, as `make chart` does", returncode=2)
    return Path(named).resolve()


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A Kubernetes API server."""
    server = ApiServer(tmp_path_factory.mktemp("kubernetes"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def rendered() -> Callable[[str], Rendered]:
    """The chart, rendered for a set of values by name."""
    return functools.cache(lambda name: render(VALID[name]))
