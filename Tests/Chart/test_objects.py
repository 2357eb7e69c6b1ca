"""What the objects are that the chart renders."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from chart import ROOT, Rendered, defaults, merged, pods, render
from value_sets import ALL, SIX, VALID

Json = dict[str, Any]


def container(template: Json) -> Json:
    """The one container of a pod."""
    assert len(template["spec"]["containers"]) == 1 and "initContainers" not in template["spec"]
    found: Json = template["spec"]["containers"][0]
    return found


@pytest.mark.parametrize("name", VALID)
def test_pods_are_confined(name: str, rendered: Callable[[str], Rendered]) -> None:
    for role, template in pods(rendered(name)):
        pod, inside = template["spec"]["securityContext"], container(template)["securityContext"]
        assert pod["runAsNonRoot"] is True and pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert inside == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        for word in ("hostNetwork", "hostPID", "hostIPC"):
            assert word not in template["spec"]
        assert all("hostPath" not in volume for volume in template["spec"]["volumes"])
        resources = container(template)["resources"]
        assert resources["limits"]["memory"] and resources["requests"]["cpu"] and resources["requests"]["memory"]
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            assert container(template)[probe]["httpGet"] == {"path": path, "port": "health"}
        assert template["spec"]["serviceAccountName"] == f"sidereal-export-{role}"


def test_a_worker_has_the_time_to_check_a_full_ledger(rendered: Callable[[str], Rendered]) -> None:
    """It listens only then; killed before, it would begin anew each time."""
    patience = {
        role: probe["periodSeconds"] * probe["failureThreshold"]
        for role, template in pods(rendered("minimal"))
        for probe in [container(template)["startupProbe"]]
    }
    assert patience["worker"] >= 15 * 60
    # A coordinator has nothing to read.
    assert patience["coordinator"] <= 120


@pytest.mark.parametrize("name", VALID)
def test_only_coordinators_have_a_token_of_the_api_server(name: str, rendered: Callable[[str], Rendered]) -> None:
    chart = rendered(name)
    accounts = {account["metadata"]["name"]: account for account in chart.all("ServiceAccount")}
    assert set(accounts) == {"sidereal-export-coordinator", "sidereal-export-worker"}
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    subjects = [each for kind in ("RoleBinding", "ClusterRoleBinding") for each in chart.all(kind)]
    assert {each["subjects"][0]["name"] for each in subjects} == {"sidereal-export-coordinator"}
    for role, template in pods(chart):
        assert template["spec"]["automountServiceAccountToken"] is (role == "coordinator")
        tokens = [
            source["serviceAccountToken"]
            for volume in template["spec"]["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
        ]
        is_irsa = role == "worker" and name == "irsa"
        assert [token["audience"] for token in tokens] == (["sts.amazonaws.com"] if is_irsa else [])


def test_irsa_is_told_to_the_worker(rendered: Callable[[str], Rendered]) -> None:
    worker = dict(pods(rendered("irsa")))["worker"]
    variables = {each["name"]: each.get("value") for each in container(worker)["env"]}
    assert variables["AWS_ROLE_ARN"] == "arn:aws-us-gov:iam::123456789012:role/sidereal"
    mounts = {each["name"]: each["mountPath"] for each in container(worker)["volumeMounts"]}
    assert variables["AWS_WEB_IDENTITY_TOKEN_FILE"] == mounts["aws-token"] + "/token"
    assert not any(name.startswith("secret-") for name in mounts)


@pytest.mark.parametrize("name", VALID)
def test_secrets_reach_workers_and_nobody_else(name: str, rendered: Callable[[str], Rendered]) -> None:
    named = {target["secretRef"] for target in VALID[name]["export"]["targets"] if "secretRef" in target}
    for role, template in pods(rendered(name)):
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        mounts = {mount["mountPath"]: mount for mount in container(template)["volumeMounts"]}
        found = {path.rpartition("/")[2] for path in mounts if path.startswith("/etc/sidereal/secrets/")}
        assert found == (named if role == "worker" else set())
        for reference in found:
            mount = mounts[f"/etc/sidereal/secrets/{reference}"]
            assert mount["readOnly"] is True and "subPath" not in mount
            assert volumes[mount["name"]]["secret"]["secretName"] == reference
        assert {mount["name"] for mount in mounts.values()} == set(volumes) | (
            {"state", "files"} & {mount["name"] for mount in mounts.values()}
        )


@pytest.mark.parametrize("name", VALID)
def test_files_have_a_volume_of_their_own(name: str, rendered: Callable[[str], Rendered]) -> None:
    claims = rendered(name).one("StatefulSet", "sidereal-export-worker")["spec"]["volumeClaimTemplates"]
    has_files = any(target["backend"] == "file" for target in VALID[name]["export"]["targets"])
    assert [claim["metadata"]["name"] for claim in claims] == ["state"] + ["files"] * has_files
    mounts = container(dict(pods(rendered(name)))["worker"])["volumeMounts"]
    assert ("/var/lib/sidereal/archive" in [mount["mountPath"] for mount in mounts]) is has_files


def test_workers_and_coordinators_find_one_another(rendered: Callable[[str], Rendered]) -> None:
    chart = rendered("minimal")
    stateful = chart.one("StatefulSet", "sidereal-export-worker")["spec"]
    assert stateful["podManagementPolicy"] == "Parallel" and stateful["serviceName"] == "sidereal-export-worker"
    assert stateful["replicas"] == 2 and chart.one("Deployment", "sidereal-export-coordinator")["spec"]["replicas"] == 3
    for role in ("coordinator", "worker"):
        service = chart.one("Service", f"sidereal-export-{role}")["spec"]
        assert service["clusterIP"] == "None"
        labels = dict(pods(chart))[role]["metadata"]["labels"]
        assert service["selector"].items() <= labels.items()
        budget = chart.one("PodDisruptionBudget", f"sidereal-export-{role}")["spec"]
        assert budget["selector"]["matchLabels"] == service["selector"] and budget["maxUnavailable"] == 1
    assert chart.config["cluster"]["coordinators"] == ["sidereal-export-coordinator.sidereal-system.svc:7443"]
    assert "--advertise=$(POD_IP):7443" in container(dict(pods(chart))["coordinator"])["args"]
    six = rendered(SIX)
    assert "--advertise=[$(POD_IP)]:7443" in container(dict(pods(six))["coordinator"])["args"]
    assert six.config["cluster"]["listen"] == "[::]:7443"
    for role in ("coordinator", "worker"):
        assert six.one("Service", f"sidereal-export-{role}")["spec"]["ipFamilies"] == ["IPv6"]


def test_the_program_has_the_options_that_pods_give(rendered: Callable[[str], Rendered], program: Path) -> None:
    for role, template in pods(rendered("minimal")):
        arguments = container(template)["args"]
        assert arguments[0] == role
        helps = subprocess.run([program, role, "--help"], check=True, capture_output=True, text=True).stdout
        # A coordinator that is not told where a cluster on one machine is has one in Kubernetes.
        options = {argument.partition("=")[0] for argument in arguments[1:]} - {"--namespace"}
        assert options >= {"--config", "--identity"}
        for option in options:
            assert re.search(rf"^ +{option} ", helps, re.MULTILINE), f"{role} {option}"


def test_pods_restart_when_the_configuration_changes(rendered: Callable[[str], Rendered]) -> None:
    def sums(name: str) -> set[str]:
        return {template["metadata"]["annotations"]["checksum/config"] for _, template in pods(rendered(name))}

    assert len(sums("minimal")) == 1 and sums("minimal") != sums("moderate")


def test_antiaffinity(rendered: Callable[[str], Rendered]) -> None:
    soft = dict(pods(rendered("minimal")))["worker"]["spec"]["affinity"]["podAntiAffinity"]
    assert [each["weight"] for each in soft["preferredDuringSchedulingIgnoredDuringExecution"]] == [100, 50]
    hard = dict(pods(rendered("irsa")))["worker"]["spec"]["affinity"]["podAntiAffinity"]
    assert hard["requiredDuringSchedulingIgnoredDuringExecution"][0]["topologyKey"] == "kubernetes.io/hostname"


# Options


def test_options_are_off_until_they_are_asked_for(rendered: Callable[[str], Rendered]) -> None:
    kinds = {manifest["kind"] for manifest in rendered("minimal").manifests}
    optional = {"ServiceMonitor", "PrometheusRule", "HorizontalPodAutoscaler", "CustomResourceDefinition"}
    assert not optional & kinds
    assert optional <= {manifest["kind"] for manifest in rendered(ALL).manifests}


def test_the_autoscaler_has_the_replicas(rendered: Callable[[str], Rendered]) -> None:
    chart = rendered(ALL)
    assert "replicas" not in chart.one("StatefulSet", "sidereal-export-worker")["spec"]
    scaler = chart.one("HorizontalPodAutoscaler", "sidereal-export-worker")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 12)
    metric = scaler["metrics"][0]["external"]
    assert metric["target"] == {"type": "AverageValue", "averageValue": "50000"}
    # The series of an external metric are added up: one for each target would count the same records again and again.
    name = metric["metric"]["name"]
    assert re.search(rf"^\| `{name}` \| gauge \| \|.*leader alone", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    text = (ROOT / "docs" / "helm.md").read_text()
    (shown,) = re.findall(r"^```yaml\n(externalRules:.*?)^```", text, re.MULTILINE | re.DOTALL)
    (rule,) = yaml.safe_load(shown)["externalRules"]
    assert rule["seriesQuery"] == name
    query = rule["metricsQuery"].replace("<<.Series>>", name).replace("<<.LabelMatchers>>", 'namespace="a"')
    assert used_metrics(query) == {name} and "max by" in query
    assert f"max({name}{{" in text


def test_definitions_stay_and_can_be_selected_from(rendered: Callable[[str], Rendered]) -> None:
    definitions = rendered(ALL).all("CustomResourceDefinition")
    assert len(definitions) == 2
    for definition in definitions:
        assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    results = rendered(ALL).one("CustomResourceDefinition", "siderealproberesults.sidereal.cloud")
    fields = results["spec"]["versions"][0]["selectableFields"]
    assert fields == [{"jsonPath": ".spec.audit.exportStatus"}]


# Monitoring


def known_metrics() -> set[str]:
    """The names that docs/metrics.md lists, and what a histogram makes of one."""
    names = set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    assert len(names) > 40
    return names | {f"{name}_{end}" for name in names for end in ("bucket", "sum", "count")}


def used_metrics(expression: str) -> set[str]:
    """The metrics that an expression names; it must be one that Prometheus takes."""
    plain = expression.replace("$__rate_interval", "5m").replace("$namespace", "a")
    promql_parser.parse(plain)
    return set(re.findall(r"\bsidereal_[a-z_]+", plain))


def test_alerts_speak_of_metrics_that_exist(rendered: Callable[[str], Rendered]) -> None:
    rule = rendered(ALL).one("PrometheusRule", "sidereal-export")
    alerts = [each for group in rule["spec"]["groups"] for each in group["rules"]]
    assert len(alerts) >= 12 and len({each["alert"] for each in alerts}) == len(alerts)
    for each in alerts:
        found = used_metrics(each["expr"])
        assert found and found <= known_metrics(), each["alert"]
        assert 'namespace="sidereal-system"' in each["expr"]
        assert each["labels"]["severity"] in ("warning", "critical")
        assert each["annotations"]["summary"] and each["annotations"]["description"]
    assert {each["alert"] for each in alerts if each["labels"]["severity"] == "critical"} >= {"SiderealProbingHalted"}


def test_a_target_is_warned_of_before_the_gate_closes_for_it() -> None:
    for given, limit in ((None, 900), ("10m", 600), (30, 30), ("10s", 10), ("7d", 604_800)):
        values = merged(VALID[ALL], {"audit": {"ageLimit": given}})
        rule = render(values).one("PrometheusRule", "sidereal-export")
        alerts = {each["alert"]: each for group in rule["spec"]["groups"] for each in group["rules"]}
        warning = alerts["SiderealExportTargetFails"]
        assert "for" not in warning
        assert int(warning["expr"].rpartition("> ")[2]) == limit * 2 // 3
        assert f"{limit} seconds" in warning["annotations"]["description"]


def test_the_readme_s_configuration_can_be_installed(program: Path, tmp_path: Path) -> None:
    """What is shown there as the least is taken by the chart as it stands, and by the program."""
    text = (ROOT / "README.md").read_text()
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    file = tmp_path / "sidereal.yaml"
    file.write_text(shown)
    made = re.findall(r"create secret generic (\S+) --from-literal=(\w+)=", text)
    for name, key in made:
        (tmp_path / name).mkdir()
        (tmp_path / name / key).write_text("a:b")
    checked = subprocess.run([program, "validate", "--config", file, "--secrets", tmp_path], capture_output=True)
    assert checked.returncode == 0, checked.stderr.decode()
    values = yaml.safe_load(shown)
    chart = render(values)
    secrets = {target["secretRef"] for target in values["export"]["targets"] if "secretRef" in target}
    assert secrets == {name for name, _ in made}, "each Secret that it needs is made there first"
    assert all(f"/etc/sidereal/secrets/{name}" in json.dumps(chart.manifests) for name in secrets)
    # What is said to be settable where something is not there.
    others = render(values | {"certificates": {"mode": "selfSigned"}, "crds": {"install": True}})
    assert others.all("CustomResourceDefinition") and not others.all("Certificate")


def test_dead_letters_are_looked_for_where_workers_keep_them(rendered: Callable[[str], Rendered]) -> None:
    """The program's own default is another directory than the one below the mount."""
    worker = dict(pods(rendered(ALL)))["worker"]
    (state,) = [each.partition("=")[2] for each in container(worker)["args"] if each.startswith("--state=")]
    rule = rendered(ALL).one("PrometheusRule", "sidereal-export")
    texts = [(ROOT / "docs" / name).read_text() for name in ("runbook.md", "upgrading.md", "helm.md")]
    found = re.findall(r"sidereal-export dead-letters \w+(.*)", "\n".join([*texts, json.dumps(rule)]))
    assert len(found) >= 3 and all(rest.startswith(f" --state {state}") for rest in found)


def anchors(document: Path) -> set[str]:
    """What its headings are linked to by, as GitHub makes it of them."""
    found = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_each_alert_points_to_its_place_in_the_runbook(rendered: Callable[[str], Rendered]) -> None:
    rule = rendered(ALL).one("PrometheusRule", "sidereal-export")
    known = anchors(ROOT / "docs" / "runbook.md")
    base = defaults()["monitoring"]["prometheusRule"]["runbookURL"]
    assert base.endswith("/docs/runbook.md")
    for each in (each for group in rule["spec"]["groups"] for each in group["rules"]):
        address, _, anchor = each["annotations"]["runbook_url"].partition("#")
        assert address == base, each["alert"]
        assert anchor == each["alert"].lower() and anchor in known, each["alert"]


def test_a_copy_of_the_runbook_can_be_pointed_to() -> None:
    values = copy.deepcopy(VALID[ALL])
    values["monitoring"]["prometheusRule"]["runbookURL"] = "https://wiki.example.gov/sidereal"
    rule = render(values).one("PrometheusRule", "sidereal-export")
    found = {each["annotations"]["runbook_url"] for group in rule["spec"]["groups"] for each in group["rules"]}
    assert found and all(url.startswith("https://wiki.example.gov/sidereal#sidereal") for url in found)


@pytest.mark.parametrize("document", sorted(ROOT.glob("docs/*.md")) + [ROOT / "README.md"], ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (document.parent / place).resolve() if place else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_dashboard_shows_metrics_that_exist(rendered: Callable[[str], Rendered]) -> None:
    file = rendered(ALL).one("ConfigMap", "sidereal-export-dashboard")
    assert file["metadata"]["labels"]["grafana_dashboard"] == "1"
    dashboard = json.loads(file["data"]["sidereal-export.json"])
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) >= 12
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            found = used_metrics(target["expr"])
            assert found and found <= known_metrics(), panel["title"]


def test_monitors_find_the_services(rendered: Callable[[str], Rendered]) -> None:
    for role in ("coordinator", "worker"):
        monitor = rendered(ALL).one("ServiceMonitor", f"sidereal-export-{role}")["spec"]
        service = rendered(ALL).one("Service", f"sidereal-export-{role}")
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert monitor["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
        others = [each for each in rendered(ALL).all("Service") if each is not service]
        for other in others:
            assert not monitor["selector"]["matchLabels"].items() <= other["metadata"]["labels"].items()


def test_notes_say_how_to_see_it_work(rendered: Callable[[str], Rendered]) -> None:
    notes = rendered("the seed's").notes
    for part in (
        "3 targets",
        "port-forward service/sidereal-export 8080",
        "get lease sidereal-export-gate",
        "splunk-hec-token elasticsearch-credentials s3-credentials",
        '"acknowledgedBy"',
        "/docs/runbook.md",
    ):
        assert part in notes
    assert "<no value>" not in notes and "for 1095 days" in rendered("moderate").notes
