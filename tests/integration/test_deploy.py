"""What lies in deploy/: taken by Ray's own reader, the operator's schema and promtool; every metric it names exists."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray._common.utils import import_attr
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import validate_config
from ray.serve import Application
from ray.serve.schema import ServeDeploySchema

from hoaban.access import Role
from serve.deployment import APP_NAME
from serve.from_environment import NEEDED, settings_from
from tests.api_system import running_api

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).resolve().parents[2]
KUBERNETES, MONITORING = PROJECT / "deploy" / "kubernetes", PROJECT / "deploy" / "monitoring"
MODELS = {"@kubernetes-models/prometheus-operator": "6.0.0", "kubernetes-models": "5.1.0"}
"""npm's packages of schemas, made from the definitions of the operator and of Kubernetes itself"""
KEPT = Path.home() / ".cache" / "hoaban" / "tests" / f"kubernetes-models-{'-'.join(MODELS.values())}"
CHECK = """
import { readFileSync } from "fs";
import * as operator from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import * as core from "kubernetes-models/v1";
import * as networking from "kubernetes-models/networking.k8s.io/v1";
const kinds = {...operator, ...core, ...networking};
for (const document of JSON.parse(readFileSync(0, "utf8"))) new kinds[document.kind](document).validate();
console.log("valid");
"""


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def rules() -> list[dict[str, Any]]:
    return [rule for group in read(MONITORING / "rules.yaml")["groups"] for rule in group["rules"]]


def board_expressions() -> list[str]:
    board = json.loads((MONITORING / "dashboard.json").read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [*found, *(v["query"] for v in board["templating"]["list"] if v["type"] == "query")]


def promtool(*arguments: object) -> str:
    program = shutil.which("promtool")
    if program is None:
        assert not os.environ.get("HOABAN_REQUIRE_PROMTOOL"), "promtool is not installed"
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=MONITORING)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_rules_and_fire_when_they_should() -> None:
    promtool("check", "rules", "rules.yaml")
    assert "SUCCESS" in promtool("test", "rules", "rules.test.yaml")


def test_the_boards_expressions_are_promql(tmp_path: Path) -> None:
    board = [text.replace("$camera", ".*") for text in board_expressions() if not text.startswith("label_values")]
    recorded = [{"record": f"a{i}", "expr": text} for i, text in enumerate(board)]
    assert len(recorded) > 10
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": recorded}]}))
    promtool("check", "rules", tmp_path / "r.yaml")


def test_every_metric_of_alerts_and_board_is_on_the_metrics_page_and_is_named_as_prometheus_wants(
    tmp_path: Path,
) -> None:
    with running_api(tmp_path, data_dir=str(tmp_path)) as api:
        page = api.get("/metrics", api.token(Role.OPERATOR)).text
    there = set(re.findall(r"^# TYPE (\S+) \w+", page, re.M))
    for expression in [*(rule["expr"] for rule in rules()), *board_expressions()]:
        named = set(re.findall(r"hoaban_\w+", expression))
        assert named
        assert named <= there, expression
    (tmp_path / "page").write_text(page)
    with (tmp_path / "page").open() as text:
        program = shutil.which("promtool")
        if program is None:
            return
        done = subprocess.run([program, "check", "metrics"], stdin=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_section_in_the_runbook() -> None:
    headings = set(re.findall(r"^### (\w+)$", (PROJECT / "docs" / "runbook.md").read_text(), re.M))
    assert {rule["alert"] for rule in rules()} == headings
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_operators_rules_are_the_same() -> None:
    assert read(KUBERNETES / "prometheusrule.yaml")["spec"] == read(MONITORING / "rules.yaml")


@pytest.fixture(scope="module")
def schemas() -> Path:
    """A folder with the schemas installed."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    if not (KEPT / "node_modules" / "kubernetes-models").is_dir():
        KEPT.mkdir(parents=True, exist_ok=True)
        packages = [f"{name}@{version}" for name, version in MODELS.items()]
        command = ["npm", "install", "--no-audit", "--no-fund", *packages]
        if subprocess.run(command, cwd=KEPT, capture_output=True, check=False, timeout=150).returncode:
            pytest.skip("npm reaches no registry to install the schemas from")
    return KEPT


def refused(schemas: Path, *documents: dict[str, Any]) -> str:
    """What is wrong with documents by the schemas of their kinds, or ""."""
    done = subprocess.run(
        ["node", "--input-type=module", "-e", CHECK],
        cwd=schemas,
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.stdout == "valid\n" else done.stderr or "no answer"


def test_the_operators_documents_fit_its_schema(schemas: Path) -> None:
    documents = [read(KUBERNETES / name) for name in ("podmonitor.yaml", "prometheusrule.yaml")]
    assert refused(schemas, *documents) == ""
    documents[0]["spec"]["podMetricsEndpoints"][0]["interval"] = "soon"
    assert refused(schemas, *documents)


def cluster_document() -> dict[str, Any]:
    """The RayCluster that KubeRay makes of the RayService."""
    service = read(KUBERNETES / "rayservice.yaml")
    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    kept = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": service["metadata"]}
    return kept | {"spec": service["spec"]["rayClusterConfig"]}


def test_the_pods_and_the_policy_fit_kubernetes_own_schema(schemas: Path) -> None:
    """What KubeRay makes pods of. Of the rest of its documents the schema is in no package."""
    policy = read(KUBERNETES / "networkpolicy.yaml")
    assert refused(schemas, policy) == ""
    policy["spec"]["ingress"] = {}
    assert refused(schemas, policy)
    spec = cluster_document()["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    pods = [{"apiVersion": "v1", "kind": "PodTemplate", "template": group["template"]} for group in groups]
    assert refused(schemas, *pods) == ""
    pods[0]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = "gcs"
    assert refused(schemas, *pods)


def test_ray_reads_the_cluster_and_sends_cameras_and_models_to_workers_alone() -> None:
    """With the reader that KubeRay's autoscaler container uses: KubeRay's own schema is in no package."""
    document = cluster_document()
    settings = _derive_autoscaling_config_from_ray_cr(document)
    validate_config(settings)
    kinds = settings["available_node_types"]
    assert (kinds["headgroup"]["resources"]["CPU"], kinds["headgroup"]["resources"]["GPU"]) == (0, 0)
    assert kinds["dbp"]["resources"]["site_dbp"] == 1000
    assert (kinds["dbp"]["min_workers"], kinds["dbp"]["max_workers"]) == (2, 4)
    constraints = (PROJECT / "constraints.txt").read_text()
    assert f"\nray=={document['spec']['rayVersion']}\n" in constraints
    ports = {
        port["name"]: port["containerPort"]
        for container in document["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
        for port in container["ports"]
    }
    endpoint = read(KUBERNETES / "podmonitor.yaml")["spec"]["podMetricsEndpoints"][0]
    assert endpoint["port"] in ports
    assert endpoint["path"] == "/api/v1/metrics"


def test_the_services_application_fits_serves_schema_and_is_the_api() -> None:
    service = read(KUBERNETES / "rayservice.yaml")["spec"]
    assert service["upgradeStrategy"] == {"type": "None"}  # a second cluster would run every camera twice
    config = ServeDeploySchema.model_validate(yaml.safe_load(service["serveConfigV2"]))
    (found,) = config.applications
    assert (found.name, found.route_prefix) == (APP_NAME, "/")
    build = import_attr(found.import_path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOABAN_TICKET_SECRET", "x" * 32)
        for name in ("HOABAN_STORE_URL", "HOABAN_REDIS_URL", "HOABAN_DATA"):
            patched.setenv(name, "sqlite://")
        with pytest.raises(ValueError, match="HOABAN_FLEET: not set"):
            build({})
        patched.setenv("HOABAN_FLEET", "/etc/hoaban/fleet.yaml:/etc/hoaban/more.yaml")
        assert isinstance(build({}), Application)
        assert settings_from(os.environ).fleet_files == ("/etc/hoaban/fleet.yaml", "/etc/hoaban/more.yaml")
        patched.setenv("HOABAN_TICKET_SECRET", "short")
        with pytest.raises(ValueError, match="openssl"):
            build({})


def test_whoever_is_monitored_and_guarded_is_there() -> None:
    spec = cluster_document()["spec"]
    pods = [group["template"]["metadata"]["labels"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    guarded = read(KUBERNETES / "networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"]
    assert all(guarded.items() <= labels.items() for labels in pods)
    monitored = read(KUBERNETES / "podmonitor.yaml")["spec"]["selector"]["matchLabels"]
    assert [monitored.items() <= labels.items() for labels in pods] == [True, *[False] * (len(pods) - 1)]


def test_the_operator_reaches_what_it_asks_and_nobody_elsewhere_can_pass_for_it() -> None:
    """It hands Serve its configuration at the dashboard's port, and asks the proxy's /-/healthz."""
    spec = read(KUBERNETES / "rayservice.yaml")["spec"]
    served = yaml.safe_load(spec["serveConfigV2"])["http_options"]["port"]
    containers = cluster_document()["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for one in containers for port in one["ports"]}
    rules = read(KUBERNETES / "networkpolicy.yaml")["spec"]["ingress"]
    (rule,) = [one for one in rules if "kuberay-operator" in str(one["from"])]
    assert {one["port"] for one in rule["ports"]} == {ports["dashboard"], served}
    for peer in rule["from"]:
        assert peer["namespaceSelector"]["matchLabels"].keys() == {"kubernetes.io/metadata.name"}
        assert peer["podSelector"]["matchLabels"]


def test_every_secret_that_the_api_takes_is_in_the_list_to_make() -> None:
    head = cluster_document()["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    given = {one["name"] for one in head["env"]}
    taken = {
        *NEEDED,
        *re.findall(r'"(HOABAN_\w+_(?:SECRET|URL))"', (PROJECT / "serve" / "from_environment.py").read_text()),
    }
    listed = set(re.findall(r"`(HOABAN_\w+)`", (PROJECT / "docs" / "kubernetes.md").read_text()))
    assert "HOABAN_VIEWER_SECRET" in taken
    assert taken - given <= listed
