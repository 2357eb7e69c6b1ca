"""Somebody who creates results, whatever happens to the API server, and takes some of them away again."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from api_server import ApiServer, probe_result
from exporter import wait_until
from kube_client import RESULTS, Json, place

PAUSE_SECONDS = 0.2
# One of so many is deleted as soon as it is there, and one when so many more are.
DOOMED_EVERY = 50
LATER = 500


class Load:
    """Runs as a context manager; leaving it waits until everything was created."""

    def __init__(self, server: ApiServer, lines: Sequence[str], namespace: str, threads: int = 4) -> None:
        self.made: dict[str, Json] = {}
        """What was created, by name, as it was then."""
        self.deleted: set[str] = set()
        """Names of what is gone."""
        self.allowed = len(lines)
        """So many are created, and no more until it is raised."""
        self.refusals = 0
        """Requests that came to nothing and were made again."""
        self._lines = lines
        self._namespace = namespace
        self._client = server.client(server.admin.pair)
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._names: dict[int, str] = {}
        self._errors: list[BaseException] = []
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        server.make_namespace(namespace)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._is_over.set()
        for thread in self._threads:
            thread.join()
        if kind is None and self._errors:
            raise self._errors[0]

    @property
    def kept(self) -> dict[str, Json]:
        """What was created and not deleted."""
        return {name: made for name, made in self.made.items() if name not in self.deleted}

    def wait_made(self, count: int, seconds: float) -> None:
        """Until so many have been created."""
        wait_until(
            lambda: len(self.made) >= count or bool(self._errors),
            lambda: f"{count} results are created; {len(self.made)} are",
            seconds,
        )
        assert not self._errors, self._errors

    def _run(self) -> None:
        try:
            while not self._is_over.is_set():
                with self._lock:
                    number = next(self._numbers)
                if number >= len(self._lines):
                    return
                while number >= self.allowed and not self._is_over.is_set():
                    time.sleep(PAUSE_SECONDS / 10)
                self._create(number)
                if number % DOOMED_EVERY == 0:
                    self._delete(number)
                elif number % DOOMED_EVERY == DOOMED_EVERY // 2:
                    self._delete(number - LATER)
        except BaseException as error:
            self._errors.append(error)
            self._is_over.set()
            raise

    def _create(self, number: int) -> None:
        body = probe_result(self._lines[number], self._namespace)
        name = body["metadata"]["name"]

        def create() -> Json | None:
            code, document = self._client.request("POST", place(RESULTS, self._namespace), body)
            # Of an attempt that was carried out, though its answer got lost.
            if code == 409:
                code, document = self._client.request("GET", place(RESULTS, self._namespace, name))
                assert code != 200 or document["spec"]["probe"] == body["spec"]["probe"], name
            return document if code in (200, 201) else None

        made = self._insist(create)
        if made is not None:
            self.made[name] = made | {"spec": body["spec"]}
            self._names[number] = name

    def _delete(self, number: int) -> None:
        name = self._names.get(number)
        if name is None:
            return

        def delete() -> Json | None:
            code, document = self._client.request("DELETE", place(RESULTS, self._namespace, name))
            # An API server that has just been started does not know the kind yet, and says so with a 404 of no object.
            is_gone = code == 404 and document.get("details", {}).get("name") == name
            return document if code == 200 or is_gone else None

        if self._insist(delete) is not None:
            self.deleted.add(name)

    def _insist(self, attempt: Callable[[], Json | None]) -> Json | None:
        while not self._is_over.is_set():
            try:
                answer = attempt()
                if answer is not None:
                    return answer
            except OSError:
                pass
            self.refusals += 1
            time.sleep(PAUSE_SECONDS)
        return None
