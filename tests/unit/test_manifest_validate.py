from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ManifestError
from harness.manifest.objects import Ref
from harness.manifest.schema import nearest_version
from harness.manifest.subject_file import Role
from harness.manifest.validate import Problem, check, problems
from harness.manifest.yaml import load_all

API = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, creationTimestamp: null}
spec:
  replicas: 3
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
        - name: api
          image: shop/api:1
          env: [{name: A, value: "1"}]
          ports: [{name: http, containerPort: 8080}]
          livenessProbe: {httpGet: {path: /, port: http}, periodSeconds: 20}
          resources: {limits: {cpu: 1, memory: 256Mi}}
          volumeMounts: [{name: tmp, mountPath: /tmp}]
      volumes: [{name: tmp, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{name: web, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Secret
metadata: {name: credentials}
stringData: {username: u, pw: p}
"""
ROLES = {
    "entry": Role.model_validate("Service/api:80"),
    "workload": Role.model_validate("Deployment/api"),
}


def found(text: str, roles: dict[str, Role] | None = None) -> list[Problem]:
    return problems(load_all(text), version="1.36", roles=roles)


def one(text: str, roles: dict[str, Role] | None = None) -> Problem:
    (problem,) = found(text, roles)
    return problem


def test_good_manifests_have_no_problem() -> None:
    assert found(API, ROLES) == []


@pytest.mark.parametrize(
    ("old", "new", "path", "message", "remedy"),
    [
        (
            "periodSeconds",
            "periodSecond",
            ".livenessProbe.periodSecond",
            "no such field",
            '"periodSeconds"?',
        ),
        (
            "periodSeconds: 20",
            "periodSeconds: '20'",
            ".livenessProbe.periodSeconds",
            "'20' is not of type integer",
            "type integer",
        ),
        ('value: "1"', "value: 1", ".env[A].value", "1 is not of type string", 'quotes: "1"'),
        (
            'value: "1"',
            "value: yes",
            ".env[A].value",
            "True is not of type string",
            'quotes: "true"',
        ),
        (
            "port: http}, period",
            "port: [1]}, period",
            ".httpGet.port",
            "not of type integer or string",
            "integer or string",
        ),
        (
            "memory: 256Mi",
            "memory: 256MB",
            ".resources.limits.memory",
            "no Kubernetes quantity",
            "256Mi",
        ),
        (
            "image: shop/api:1",
            "tty: true",
            ".containers[api].image",
            "is missing",
            "name the image",
        ),
        (
            "mountPath: /tmp}]",
            "mountPath: /tmp}, {name: x, mountPath: /x}]",
            ".volumeMounts[/x]",
            'no volume "x"',
            "add it under",
        ),
    ],
)
def test_fields_of_a_container(old: str, new: str, path: str, message: str, remedy: str) -> None:
    assert old in API
    problem = one(API.replace(old, new, 1))
    assert problem.object == "Deployment/api"
    assert problem.path.startswith(".spec.template.spec.containers[api].")
    assert problem.path.endswith(path)
    assert message in problem.message
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("old", "new", "path", "message", "remedy"),
    [
        (
            "kind: Deployment",
            "kind: Deploymnt",
            ".kind",
            "knows no kind Deploymnt",
            '"Deployment"?',
        ),
        (
            "apps/v1",
            "extensions/v1beta1",
            ".apiVersion",
            "no Deployment in extensions/v1beta1",
            "apiVersion: apps/v1",
        ),
        (
            "kind: Deployment",
            "kind: Whatsoever",
            ".kind",
            "knows no kind",
            "CustomResourceDefinition",
        ),
        (
            "  selector: {matchLabels: {app: api}}\n",
            "",
            ".spec",
            "selector is missing",
            "add selector",
        ),
        (
            "matchLabels: {app: api}",
            "matchLabels: {app: b}",
            ".spec.selector",
            "own pod template",
            "agree",
        ),
        (
            "name: api, creation",
            "name: Api, creation",
            ".metadata.name",
            '"Api" is no name',
            "rename",
        ),
        (
            "name: api, creation",
            "generateName: api, creation",
            ".metadata",
            "generateName",
            "a name",
        ),
    ],
)
def test_whole_objects(old: str, new: str, path: str, message: str, remedy: str) -> None:
    assert old in API
    problem = one(API.replace(old, new, 1))
    assert problem.path == path
    assert message in problem.message
    assert remedy in problem.remedy


def test_equal_objects() -> None:
    problem = one(f"{API}---\n{API.split('---')[1]}")
    assert str(problem) == "Service/api: is there 2 times"


def test_two_containers_of_one_name() -> None:
    problem = one(
        API.replace(
            "        - name: api\n", "        - {name: api, image: a}\n        - name: api\n"
        )
    )
    assert problem.message == '2 containers are called "api"'


def test_custom_resources_need_their_definition() -> None:
    ring = "apiVersion: x.io/v1\nkind: Ring\nmetadata: {name: one}\nspec: {free: true}\n"
    definition = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rings.x.io}
spec:
  group: x.io
  scope: Namespaced
  names: {kind: Ring, plural: rings}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""
    assert "knows no kind Ring" in one(ring).message
    assert found(f"{definition}---\n{ring}") == []


@pytest.mark.parametrize(
    ("role", "message", "remedy"),
    [
        ("Service/apo:80", "no Service/apo", 'did you mean "Service/api"?'),
        ("Service/api:81", "no port 81", "80 (web)"),
        ("Deployment/api", "Deployment/api is no Service", "that clients call"),
    ],
)
def test_entry(role: str, message: str, remedy: str) -> None:
    problem = one(API, ROLES | {"entry": Role.model_validate(role)})
    assert problem.object == "role entry"
    assert problem.source == "harness.toml"
    assert message in problem.message
    assert remedy in problem.remedy


def test_missing_entry() -> None:
    problem = one(API, {"workload": ROLES["workload"]})
    assert "no entry is bound" in problem.message
    assert 'entry = "Service/api"' in problem.remedy


def test_a_service_without_pods_and_a_port_without_container() -> None:
    assert (
        "selects no pods"
        in one(API.replace("selector: {app: api}, p", "selector: {app: x}, p"), ROLES).message
    )
    assert 'named "grpc"' in one(API.replace("targetPort: http", "targetPort: grpc"), ROLES).message


@pytest.mark.parametrize(
    ("secret", "key", "message"),
    [
        ("credentials", "password", "Secret/credentials has no key password"),
        ("credential", "pw", "no Secret/credential"),
        ("credentials", "pw", None),
    ],
)
def test_credentials_of_a_role(secret: str, key: str, message: str | None) -> None:
    role = {"ref": "Service/api:80", "secret": secret, "password_key": key}
    problems_found = found(API, ROLES | {"database": Role.model_validate(role)})
    assert [message in each.message for each in problems_found if message] == [True] * bool(message)
    assert len(problems_found) == bool(message)


def test_a_role_without_pods() -> None:
    problem = one(API, ROLES | {"x": Role.model_validate("Secret/credentials")})
    assert "has no pods" in problem.message


def test_one_error_names_every_problem_with_its_file() -> None:
    objects = load_all(
        API.replace("periodSeconds", "periodSecond").replace("port: 80", "port: '80'")
    )
    sources = {Ref("Deployment", "api"): str(Path("deploy/api.yaml"))}
    with pytest.raises(ManifestError) as raised:
        check(objects, version="v1.36.3", sources=sources, roles=ROLES)
    assert "2 problems" in raised.value.message
    assert (
        "deploy/api.yaml: Deployment/api .spec.template.spec.containers[api]"
        in raised.value.message
    )
    assert "Service/api .spec.ports[web].port: '80' is not of type integer" in raised.value.message
    assert 'did you mean "periodSeconds"?' in raised.value.remedy


def test_roles_are_looked_at_only_where_the_manifests_hold() -> None:
    assert len(found(API.replace("periodSeconds", "periodSecond"), {})) == 1


def test_the_nearest_release_with_schemas() -> None:
    assert nearest_version("v1.36.3").startswith("1.36.")
    assert nearest_version("1.99").startswith("1.")
    assert nearest_version("1.2") == nearest_version("1.3")
