"""What tests ask an API server, and how: one identity, a connection per thread."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

Json = dict[str, Any]

GROUP = "sidereal.cloud"
VERSION = "v1alpha1"
RESULTS = "siderealproberesults"
ALERTS = "siderealsystemalerts"
PAGE = 500
TIMEOUT_SECONDS = 60.0
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
# Places of kinds that need no question, by plural: group and version.
PLACES = {
    "namespaces": "api/v1",
    "secrets": "api/v1",
    "serviceaccounts": "api/v1",
    "leases": "apis/coordination.k8s.io/v1",
    "events": "apis/events.k8s.io/v1",
    "customresourcedefinitions": "apis/apiextensions.k8s.io/v1",
    "clusterroles": "apis/rbac.authorization.k8s.io/v1",
    "clusterrolebindings": "apis/rbac.authorization.k8s.io/v1",
    "roles": "apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
    RESULTS: f"apis/{GROUP}/{VERSION}",
    ALERTS: f"apis/{GROUP}/{VERSION}",
}


class ApiError(AssertionError):
    """The API server refused."""

    def __init__(self, method: str, path: str, code: int, status: Json) -> None:
        super().__init__(f"{method} {path}: {code} {status.get('reason', '')}: {status.get('message', status)}")
        self.code = code
        self.reason = str(status.get("reason", ""))
        self.message = str(status.get("message", ""))


def place(plural: str, namespace: str | None = None, name: str | None = None) -> str:
    """The path of a resource of these tests, or of all of them."""
    parts = ["", PLACES[plural]]
    if namespace is not None:
        parts += ["namespaces", namespace]
    parts.append(plural)
    if name is not None:
        parts.append(quote(name))
    return "/".join(parts)


class KubeClient:
    """Somebody whom the API server knows by a client certificate or a token."""

    def __init__(self, port: int, authority: Path, pair: tuple[Path, Path] | None = None, token: str = "") -> None:
        self.port = port
        self.pair = pair
        self.token = token
        self._context = ssl.create_default_context(cafile=str(authority))
        if pair is not None:
            self._context.load_cert_chain(*pair)
        self._connections = threading.local()
        self._all: set[http.client.HTTPSConnection] = set()
        self._lock = threading.Lock()

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str
    ) -> tuple[int, Json]:
        """Code and document of an answer, whatever the code. An `OSError` if there is none."""
        connection, is_fresh = self._connection()
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, _target(path, query), content, self._headers(kind))
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._forget()
            # A server that was started anew does not know the old connection.
            if is_fresh or method != "GET" or isinstance(error, TimeoutError):
                raise OSError(str(error)) from error
            return self.request(method, path, body, kind, **query)
        try:
            document = json.loads(text)
        except ValueError:
            document = {"message": text.decode(errors="replace")}
        return answer.status, document

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str) -> Json:
        """The document of an answer; ``ApiError`` if it is a refusal."""
        code, document = self.request(method, path, body, kind, **query)
        if code >= 300:
            raise ApiError(method, path, code, document)
        return document

    def get(self, plural: str, namespace: str | None, name: str) -> Json:
        """An object."""
        return self.call("GET", place(plural, namespace, name))

    def create(self, plural: str, namespace: str | None, body: Json) -> Json:
        """Makes an object; what is there now."""
        return self.call("POST", place(plural, namespace), body)

    def patch(self, plural: str, namespace: str | None, name: str, body: Json) -> Json:
        """Changes an object by a merge patch; what is there now."""
        return self.call("PATCH", place(plural, namespace, name), body, MERGE)

    def delete(self, plural: str, namespace: str | None, name: str) -> None:
        """Takes an object away."""
        self.call("DELETE", place(plural, namespace, name))

    def list(self, plural: str, namespace: str | None = None, page: int = PAGE, **query: str) -> list[Json]:
        """All objects, of all namespaces if none is named, in pages."""
        items: list[Json] = []
        more = ""
        while True:
            query |= {"limit": str(page)} | ({"continue": more} if more else {})
            document = self.call("GET", place(plural, namespace), **query)
            items += document["items"]
            more = document["metadata"].get("continue", "")
            if not more:
                return items

    def watch(self, plural: str, since: str, seconds: float = TIMEOUT_SECONDS, **query: str) -> Generator[Json]:
        """Events of all namespaces from a resourceVersion on, until the server or the network ends it."""
        query |= {"watch": "true", "resourceVersion": since}
        with closing(self._new(seconds)) as connection:
            connection.request("GET", _target(place(plural), query), headers=self._headers(""))
            # The answer has the socket now, should the server not want to keep it.
            with connection.getresponse() as answer, suppress(OSError, http.client.HTTPException):
                if answer.status >= 300:
                    raise ApiError("WATCH", place(plural), answer.status, json.loads(answer.read()))
                while line := answer.readline():
                    yield json.loads(line)

    def close(self) -> None:
        """Closes the connections of all threads."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()

    def _forget(self) -> None:
        connection: http.client.HTTPSConnection = self._connections.it
        connection.close()
        self._connections.it = None
        with self._lock:
            self._all.discard(connection)

    def _connection(self) -> tuple[http.client.HTTPSConnection, bool]:
        connection = getattr(self._connections, "it", None)
        # One that was closed connects again by itself, without what belongs to ours.
        if connection is not None and connection.sock is not None:
            return connection, False
        self._connections.it = connection = self._new(TIMEOUT_SECONDS)
        with self._lock:
            self._all.add(connection)
        return connection, True

    def _new(self, seconds: float) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=seconds, context=self._context)
        try:
            connection.connect()
        except OSError:
            connection.close()
            raise
        # Head and body are two writes; one must not wait for the other's acknowledgement.
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _headers(self, kind: str) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if kind:
            headers["Content-Type"] = kind
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers


def _target(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
