"""A real API server with its etcd on loopback: its own authority, RBAC, service accounts, and Sidereal's resources."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import yaml
from authority import Authority, Pair
from balancer import Balancer
from exporter import Running, project, wait_until
from kube_client import ALERTS, GROUP, MERGE, RESULTS, VERSION, ApiError, Json, KubeClient, place
from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "deploy" / "local" / "kube-assets"
DEFINITIONS = ROOT / "deploy" / "helm" / "sidereal-export" / "files" / "crds"
SYSTEM = "sidereal-system"
ISSUER = "https://kubernetes.default.svc"
# Both start in seconds; here eight may share two cores.
PATIENCE = 120.0
GRACE_SECONDS = 5.0
_direct = build_opener(ProxyHandler({}))


def assets() -> Path:
    """The directory with kube-apiserver and etcd; they are made if they are not there, which takes minutes once."""
    made = subprocess.run([ASSETS], stdout=subprocess.PIPE, text=True)
    assert made.returncode == 0, "there is no kube-apiserver for the tests; what hinders is said above"
    return Path(made.stdout.strip())


class ApiServer:
    """etcd and kube-apiserver, each of which can be stopped and started again at its port.

    There is no other part of Kubernetes: nobody makes pods of workloads, collects garbage, or finishes the deletion of
    namespaces.
    """

    def __init__(
        self, directory: Path, watch_seconds: int = 1800, watch_cache: bool = True, options: Sequence[str] = ()
    ) -> None:
        """Starts both, with the namespace `sidereal-system` and the definitions of the chart.

        The server ends each watch after `watch_seconds` to twice that; `options` are others of its own.
        """
        self._programs = assets()
        self._directory = directory
        self.port, self.etcd_port = free_port(), free_port()
        self._etcd_peer_port = free_port()
        self._options = [f"--min-request-timeout={watch_seconds}", f"--watch-cache={str(watch_cache).lower()}"]
        self._options += options
        self._runs: dict[str, list[Running]] = {"etcd": [], "kube-apiserver": []}
        self._tokens = 0
        authority = Authority(directory, "kubernetes")
        self.authority = authority.certificate
        self._server = authority.issue("server", "IP:127.0.0.1,DNS:kubernetes.default.svc")
        admin = authority.issue("admin", "", usage="clientAuth", organization="system:masters")
        self._closing = ExitStack()
        self.admin = self.client(admin)
        self._make_account_keys()
        try:
            self.start_etcd()
            self.start()
            # What connects through the door can be cut off without the server's knowing.
            self.door = self._closing.enter_context(Balancer(self.port))
            self.make_namespace(SYSTEM)
            for path in sorted(DEFINITIONS.glob("*.yaml")):
                self.define(yaml.safe_load(path.read_text()))
        except BaseException:
            self.close()
            raise

    # Processes

    def start_etcd(self) -> None:
        """Starts etcd at its port, with what it had."""
        here, peers = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self._etcd_peer_port}"
        options = [f"--data-dir={self._directory / 'etcd'}", f"--listen-client-urls={here}", "--logger=zap"]
        options += [f"--advertise-client-urls={here}", f"--listen-peer-urls={peers}", "--log-level=warn"]
        options += [f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=default={peers}"]
        self._run("etcd", options)
        wait_until(lambda: self._etcd_works(), lambda: self._complaint("etcd"), PATIENCE)

    def stop_etcd(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends etcd, by default as a crash does; the API server goes on without it and answers little."""
        self._stop("etcd", number)

    def start(self) -> None:
        """Starts the API server at its port, and waits until it is ready."""
        certificate, key = self._server
        options = [f"--etcd-servers=http://127.0.0.1:{self.etcd_port}", f"--secure-port={self.port}"]
        options += ["--bind-address=127.0.0.1", f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}"]
        options += [f"--client-ca-file={self.authority}", "--authorization-mode=RBAC", "--anonymous-auth=false"]
        options += [f"--service-account-issuer={ISSUER}", "--service-cluster-ip-range=10.96.0.0/16"]
        options += [f"--service-account-key-file={self._directory / 'accounts.pub'}", f"--api-audiences={ISSUER}"]
        options += [f"--service-account-signing-key-file={self._directory / 'accounts.key'}"]
        options += [f"--cert-dir={self._directory / 'certificates'}", "--profiling=false"]
        # A loopback address cannot stand in the endpoints of the service `kubernetes`.
        options += ["--endpoint-reconciler-type=none", "--advertise-address=127.0.0.1"]
        self._run("kube-apiserver", options + self._options)
        wait_until(lambda: self._works(), lambda: self._complaint("kube-apiserver"), PATIENCE)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends the API server, by default as a crash does."""
        self._stop("kube-apiserver", number)

    def restart(self) -> None:
        """Stops the API server as an update does, and starts it."""
        self._end_gracefully()
        self.start()

    def send(self, program: str, number: signal.Signals) -> None:
        """Sends `etcd` or `kube-apiserver` a signal, such as SIGSTOP."""
        self._runs[program][-1].send(number)

    def close(self) -> None:
        """Ends everything."""
        self._closing.close()
        for runs in self._runs.values():
            for running in runs:
                running.kill()

    def memory(self, program: str = "kube-apiserver") -> int:
        """Resident bytes of `etcd` or `kube-apiserver`."""
        text = Path(f"/proc/{self._runs[program][-1].process.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("VmRSS:"))

    def cpu_seconds(self, program: str = "kube-apiserver") -> float:
        """Processor time that the running `etcd` or `kube-apiserver` has used."""
        text = Path(f"/proc/{self._runs[program][-1].process.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # Faults

    def cut(self) -> None:
        """Ends every connection that goes through the door, watches among them."""
        self.door.drop()

    def compact(self) -> None:
        """Makes every older resourceVersion unknown (410). The server's cache of watches forgets with its restart."""
        self._end_gracefully()
        # Whoever has seen the server's last change has missed these.
        key = base64.b64encode(b"/compacted").decode()
        for _ in range(10):
            answer = self._ask_etcd("/v3/kv/put", {"key": key, "value": key})
        self._ask_etcd("/v3/kv/compaction", {"revision": answer["header"]["revision"], "physical": True})
        self.start()

    # What is in there

    def knows(self, group_version: str, plural: str) -> bool:
        """Whether the server has a kind, such as `admissionregistration.k8s.io/v1`, `validatingadmissionpolicies`."""
        root = "api" if "/" not in group_version else "apis"
        code, document = self.admin.request("GET", f"/{root}/{group_version}")
        return code == 200 and any(entry["name"] == plural for entry in document["resources"])

    @property
    def version(self) -> str:
        """Such as `v1.20.2`."""
        return str(self.admin.call("GET", "/version")["gitVersion"])

    def make_namespace(self, name: str) -> None:
        """A namespace, unless it is there."""
        code, document = self.admin.request("POST", place("namespaces"), {"metadata": {"name": name}})
        assert code in (201, 409), document

    def define(self, definition: Json) -> None:
        """Installs a CustomResourceDefinition, and waits until its resources can be asked for."""
        name = definition["metadata"]["name"]
        self.admin.create("customresourcedefinitions", None, definition)

        def is_served() -> bool:
            status = self.admin.get("customresourcedefinitions", None, name).get("status", {})
            conditions = {entry["type"]: entry["status"] for entry in status.get("conditions") or []}
            if conditions.get("Established") != "True":
                return False
            spec = definition["spec"]
            path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
            return self.admin.request("GET", path, limit="1")[0] == 200

        wait_until(is_served, f"{name} is served", PATIENCE)

    def apply(self, manifest: Json, dry_run: bool = False) -> Json:
        """Makes what a manifest says, or changes what is there; with `dry_run` the server only says what it would do."""
        group_version, name = str(manifest["apiVersion"]), manifest["metadata"]["name"]
        root = "/api" if "/" not in group_version else "/apis"
        known = self.admin.call("GET", f"{root}/{group_version}")["resources"]
        entry = next(each for each in known if each["kind"] == manifest["kind"] and "/" not in each["name"])
        namespace = f"/namespaces/{manifest['metadata'].get('namespace', 'default')}" if entry["namespaced"] else ""
        path = f"{root}/{group_version}{namespace}/{entry['name']}"
        query = {"dryRun": "All"} if dry_run else {}
        code, document = self.admin.request("POST", path, manifest, **query)
        if code == 409:
            return self.admin.call("PATCH", f"{path}/{name}", manifest, MERGE, **query)
        if code >= 300:
            raise ApiError("POST", path, code, document)
        return document

    def make_account(self, name: str, namespace: str = SYSTEM) -> None:
        """A service account, without any rights, unless it is there."""
        body = {"metadata": {"name": name, "namespace": namespace}}
        code, document = self.admin.request("POST", place("serviceaccounts", namespace), body)
        assert code in (201, 409), document

    def allows(self, account: str, verb: str, resource: str, group: str, name: str = "", namespace: str = "") -> bool:
        """Whether a service account of the system may do this now: the server learns of new rules through its own watch.

        Without a name or a namespace: with every object, everywhere.
        """
        asked = {"verb": verb, "resource": resource, "group": group, "name": name, "namespace": namespace}
        spec = {"user": f"system:serviceaccount:{SYSTEM}:{account}", "resourceAttributes": asked}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(self.admin.call("POST", path, body)["status"]["allowed"])

    def token(self, name: str, namespace: str = SYSTEM, seconds: int = 3600, bound_to: Json | None = None) -> str:
        """A new token of a service account, as the kubelet gets it for a pod (TokenRequest; at least 600 s).

        It is worth nothing when the object that it is bound to is gone.
        """
        spec: Json = {"audiences": [ISSUER], "expirationSeconds": seconds}
        if bound_to is not None:
            uid = bound_to["metadata"]["uid"]
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": bound_to["kind"], "uid": uid}
            spec["boundObjectRef"]["name"] = bound_to["metadata"]["name"]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = place("serviceaccounts", namespace, name) + "/token"
        return str(self.admin.call("POST", path, body)["status"]["token"])

    def client(self, pair: Pair | None = None, token: str = "", door: bool = False) -> KubeClient:
        """A client with a certificate or a token, perhaps through the door; its connections are closed at the end."""
        client = KubeClient(self.door.port if door else self.port, self.authority, pair, token)
        self._closing.callback(client.close)
        return client

    def account(self, name: str, namespace: str = SYSTEM) -> KubeClient:
        """A client that is this service account."""
        return self.client(token=self.token(name, namespace))

    def kubeconfig(self, path: Path, account: str | None = None, namespace: str = SYSTEM, door: bool = True) -> Path:
        """Writes a kubeconfig with the context `test`, of a service account or the administrator.

        A token lies in a file beside it, as it does in a pod, and may be renewed there. Connections go through the door
        unless they shall not.
        """
        if account is None:
            assert self.admin.pair is not None
            user = {"client-certificate": str(self.admin.pair[0]), "client-key": str(self.admin.pair[1])}
        else:
            token = path.with_suffix(".token")
            token.write_text(self.token(account, namespace))
            user = {"tokenFile": str(token)}
        server = f"https://127.0.0.1:{self.door.port if door else self.port}"
        cluster = {"server": server, "certificate-authority": str(self.authority)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(document, indent=2))  # JSON is YAML.
        return path

    def pod_directory(self, directory: Path, token: str, namespace: str = SYSTEM) -> Path:
        """What the kubelet mounts into a pod whose account's token this is, for the first time or with a new token."""
        project(directory, token=token, namespace=namespace, **{"ca.crt": self.authority.read_text()})
        return directory

    def fill(self, lines: Sequence[str], namespace: str, threads: int = 4) -> list[Json]:
        """Creates generated results, several at a time; what is there now, in the order of the lines."""
        self.make_namespace(namespace)

        def create(line: str) -> Json:
            return self.admin.create(RESULTS, namespace, probe_result(line, namespace))

        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(create, lines))

    def results(self, namespace: str | None = None) -> list[Json]:
        """All results there are, by the administrator's eyes."""
        return self.admin.list(RESULTS, namespace)

    def alerts(self) -> list[Json]:
        """All alerts of the system."""
        return self.admin.list(ALERTS, SYSTEM)

    def lease(self, name: str) -> Json:
        """A Lease of the system; empty if there is none."""
        code, document = self.admin.request("GET", place("leases", SYSTEM, name))
        return document if code == 200 else {}

    def wipe(self, *namespaces: str) -> None:
        """Takes away the results of these namespaces, and all that an exporter keeps in the system's."""
        kept = [(plural, SYSTEM) for plural in ("leases", ALERTS, "events")]
        for plural, namespace in [(RESULTS, each) for each in namespaces] + kept:
            self.admin.call("DELETE", place(plural, namespace))

    # Within

    def _make_account_keys(self) -> None:
        key = self._directory / "accounts.key"
        for arguments in (
            f"genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out {key}",
            f"pkey -in {key} -pubout -out {key.with_suffix('.pub')}",
        ):
            subprocess.run(["openssl", *arguments.split()], check=True, capture_output=True)

    def _run(self, program: str, options: list[str]) -> None:
        runs = self._runs[program]
        assert not (runs and runs[-1].is_running), f"{program} runs already"
        runs.append(Running([self._programs / program, *options], self._directory))

    def _stop(self, program: str, number: signal.Signals) -> None:
        running = self._runs[program][-1]
        running.send(number)
        running.process.wait(PATIENCE)

    def _end_gracefully(self) -> None:
        running = self._runs["kube-apiserver"][-1]
        running.send(signal.SIGTERM)
        # It would wait for watches and requests for a minute.
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(GRACE_SECONDS)
        self.stop()

    def _works(self) -> bool:
        assert self._runs["kube-apiserver"][-1].is_running, self._complaint("kube-apiserver")
        try:
            return self.admin.request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def _etcd_works(self) -> bool:
        assert self._runs["etcd"][-1].is_running, self._complaint("etcd")
        try:
            with _direct.open(f"http://127.0.0.1:{self.etcd_port}/health", timeout=5) as answer:
                return bool(json.load(answer)["health"] == "true")
        except OSError:
            return False

    def _complaint(self, program: str) -> str:
        return f"{program} works; it said:\n{self._runs[program][-1].stderr[-4000:]}"

    def _ask_etcd(self, path: str, body: Json) -> Json:
        request = Request(f"http://127.0.0.1:{self.etcd_port}{path}", json.dumps(body).encode(), method="POST")
        with _direct.open(request, timeout=30) as answer:
            document: Json = json.load(answer)
        return document


def probe_result(line: bytes | str, namespace: str) -> Json:
    """A generated result as somebody creates it: without what the API server decides, and pending."""
    record: Json = json.loads(line)
    metadata = record["metadata"]
    kept = {key: metadata[key] for key in ("name", "labels", "annotations") if key in metadata}
    spec = record["spec"] | {"audit": {"exportStatus": "Pending"}}
    head = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "SiderealProbeResult"}
    return head | {"metadata": kept | {"namespace": namespace}, "spec": spec}
