"""Other people's exporters: how each is started to send a file's lines to the sink, unaltered and in batches."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from members import Members

ROOT = Path(__file__).resolve().parents[2]
SYSLOG_NG = ROOT / ".make" / "syslog-ng"
"""Where the Makefile unpacks syslog-ng, since Debian installs only one of the two system loggers."""
BATCH, BATCH_BYTES = 5_000, 5_000_000


@dataclass(frozen=True)
class Route:
    """How the sink is spoken to."""

    service: str
    """`elasticsearch` or `syslog`."""
    packed: bool = False
    tls: bool = False

    @property
    def name(self) -> str:
        """As it stands in the table."""
        if self.service == "syslog":
            return "syslog over TLS" if self.tls else "syslog over TCP"
        return f"_bulk, {'gzip' if self.packed else 'plain'}{', TLS' if self.tls else ''}"


ROUTES = [Route("elasticsearch", packed=True), Route("elasticsearch"), Route("elasticsearch", packed=True, tls=True),
          Route("elasticsearch", tls=True), Route("syslog"), Route("syslog", tls=True)]


@dataclass(frozen=True)
class Sender:
    """One of them."""

    name: str
    program: str
    """Its path; empty if it is not there."""
    version: str
    configure: Callable[[Members, Route, Path], str | None]
    """The configuration for a route, given the file to follow; None for a route that it does not know."""
    arguments: Callable[[Path, Path], list[str]]
    """Given the configuration and a directory of its own."""
    environment: tuple[tuple[str, str], ...] = ()

    def launch(self, members: Members, configuration: str) -> subprocess.Popen[bytes]:
        """Starts it in the foreground."""
        place = members.directory / self.name
        place.mkdir()
        path = place / ("config.yaml" if configuration.startswith("# YAML") else "config")
        path.write_text(configuration)
        with (members.directory / f"{self.name}.log").open("ab") as log:
            process = subprocess.Popen([self.program, *self.arguments(path, place)], stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL, env=os.environ | dict(self.environment))
        members.processes[self.name] = process
        return process


def _rsyslog(members: Members, route: Route, results: Path) -> str | None:
    if route.packed:
        return None
    port = members.ports[route.service]
    queue = (f'queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="{BATCH}" queue.workerThreads="1" '
             'action.resumeRetryCount="-1"')
    if route.service == "syslog":
        secure = ('StreamDriver="ossl" StreamDriverMode="1" StreamDriverAuthMode="x509/certvalid" ' if route.tls else "")
        action = (f'action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" TCP_Framing="octet-counted" '
                  f'template="RSYSLOG_SyslogProtocol23Format" {secure}{queue})')
    else:
        action = (f'action(type="omelasticsearch" server="127.0.0.1" serverport="{port}" '
                  f'usehttps="{"on" if route.tls else "off"}" template="line" bulkmode="on" maxbytes="{BATCH_BYTES}" '
                  f'searchIndex="sidereal" searchType="" '
                  + (f'tls.cacert="{members.authority}" ' if route.tls else "") + f'{queue})')
    authority = f' defaultNetstreamDriverCAFile="{members.authority}"' if route.tls else ""
    return f"""global(workDirectory="{members.directory}/rsyslog" maxMessageSize="64k"{authority})
module(load="imfile")
{'module(load="omelasticsearch")' if route.service == "elasticsearch" else ""}
template(name="line" type="string" string="%msg%")
input(type="imfile" File="{results}" Tag="sidereal" ruleset="out" maxSubmitAtOnce="{BATCH}")
ruleset(name="out" queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="{BATCH}") {{
  {action}
}}
"""


def _syslog_ng(members: Members, route: Route, results: Path) -> str | None:
    if route.packed:
        return None
    port = members.ports[route.service]
    if route.service == "syslog":
        secure = f' tls(ca-file("{members.authority}") peer-verify(required-trusted))' if route.tls else ""
        target = f'syslog("127.0.0.1" port({port}) transport("{"tls" if route.tls else "tcp"}"){secure});'
    else:
        secure = f'tls(ca-file("{members.authority}") peer-verify(yes))' if route.tls else ""
        target = (f'http(url("http{"s" if route.tls else ""}://127.0.0.1:{port}/_bulk") method("POST") '
                  'headers("Content-Type: application/x-ndjson") body-suffix("\\n") delimiter("\\n") '
                  'body("{\\"create\\":{\\"_index\\":\\"sidereal\\"}}\\n${MSG}") '
                  f"batch-lines({BATCH}) batch-bytes({BATCH_BYTES}) batch-timeout(1000) workers(1) {secure});")
    return f"""@version: 3.38
options {{ stats-freq(0); log-msg-size(65536); keep-hostname(yes); use-dns(no); time-reopen(1); }};
source lines {{ file("{results}" flags(no-parse) follow-freq(1) log-fetch-limit({BATCH}) log-iw-size({4 * BATCH})); }};
destination out {{ {target} }};
log {{ source(lines); destination(out); flags(flow-control); }};
"""


def _fluent_bit(members: Members, route: Route, results: Path) -> str | None:
    if route.service == "syslog":
        return None
    secure = (f"    tls On\n    tls.verify On\n    tls.ca_file {members.authority}\n" if route.tls else "")
    return f"""[SERVICE]
    Flush 1
    Grace 5
    Log_Level warn
    Parsers_File {members.directory}/fluent-bit/parsers
[INPUT]
    Name tail
    Path {results}
    Parser json
    Read_from_Head On
    Refresh_Interval 1
    Buffer_Chunk_Size 1M
    Buffer_Max_Size 8M
    Mem_Buf_Limit 256M
[OUTPUT]
    Name es
    Match *
    Host 127.0.0.1
    Port {members.ports['elasticsearch']}
    Index sidereal
    Suppress_Type_Name On
    Write_Operation create
    Generate_ID On
    Buffer_Size False
    Retry_Limit False
{f'    Compress gzip{chr(10)}' if route.packed else ''}{secure}"""


def _vector(members: Members, route: Route, results: Path) -> str | None:
    if route.service == "syslog":
        return None
    secure = f"    tls: {{ca_file: {members.authority}}}\n" if route.tls else ""
    return f"""# YAML
data_dir: {members.directory}/vector
sources:
  lines: {{type: file, include: ["{results}"], read_from: beginning, ignore_checkpoints: true}}
transforms:
  records: {{type: remap, inputs: [lines], source: ". = parse_json!(.message)"}}
sinks:
  out:
    type: elasticsearch
    inputs: [records]
    endpoints: ["http{'s' if route.tls else ''}://127.0.0.1:{members.ports['elasticsearch']}"]
    api_version: v8
    healthcheck: {{enabled: false}}
    bulk: {{action: create, index: sidereal}}
    compression: {'gzip' if route.packed else 'none'}
    batch: {{max_events: {BATCH}, max_bytes: {BATCH_BYTES}, timeout_secs: 1}}
{secure}"""


def _version(program: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    said = subprocess.run([program, *arguments], capture_output=True, text=True, env=os.environ | (environment or {}))
    found = re.search(r"\d+(\.\d+)+", said.stdout or said.stderr)
    return found.group() if found else "?"


def senders() -> list[Sender]:
    """All that are known; those without a program were not found."""
    rsyslog = shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""
    own = str(SYSLOG_NG / "usr" / "sbin" / "syslog-ng")
    libraries = str(SYSLOG_NG / "usr" / "lib" / "syslog-ng")
    unpacked = os.access(own, os.X_OK)
    syslog_ng = own if unpacked else shutil.which("syslog-ng", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""
    environment = {"LD_LIBRARY_PATH": libraries} if unpacked else {}
    modules = ["--module-path", f"{libraries}/3.38"] if unpacked else []
    fluent_bit, vector = shutil.which("fluent-bit") or "", shutil.which("vector") or ""
    return [
        Sender("syslog-ng", syslog_ng, _version(syslog_ng, "--version", environment=environment) if syslog_ng else "",
               _syslog_ng, lambda path, place: [
                   "--foreground", "--no-caps", "--cfgfile", str(path), "--persist-file", str(place / "persist"),
                   "--pidfile", str(place / "pid"), "--control", str(place / "control"), *modules],
               tuple(environment.items())),
        Sender("rsyslog", rsyslog, _version(rsyslog, "-v") if rsyslog else "", _rsyslog,
               lambda path, place: ["-n", "-f", str(path), "-i", str(place / "pid")]),
        Sender("fluent-bit", fluent_bit, _version(fluent_bit, "--version") if fluent_bit else "", _fluent_bit,
               _fluent_bit_arguments),
        Sender("vector", vector, _version(vector, "--version") if vector else "", _vector,
               lambda path, place: ["--config", str(path), "--quiet"]),
    ]


def _fluent_bit_arguments(path: Path, place: Path) -> list[str]:
    (place / "parsers").write_text("[PARSER]\n    Name json\n    Format json\n")
    return ["--config", str(path)]
