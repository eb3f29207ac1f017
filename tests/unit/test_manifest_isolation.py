from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest

from harness.errors import ManifestError
from harness.manifest.isolation import Isolation, isolate
from harness.manifest.yaml import load_all


def isolated(text: str, trial: str = "t1", default: str = "shop") -> Isolation:
    objects = load_all(text)
    before = copy.deepcopy(objects)
    found = isolate(objects, trial=trial, default_namespace=default)
    assert objects == before, "the input was changed"
    return found


def by_kind(found: Isolation, kind: str) -> dict[str, Any]:
    (obj,) = [each for each in found.objects if each["kind"] == kind]
    return obj


def names(obj: dict[str, Any]) -> tuple[str, str | None, str]:
    return obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]


def configmap(value: str, services: tuple[str, ...] = ("db",)) -> str:
    text = "".join(
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{}}\n---\n"
        for name in services
    )
    data = f"data: {{k: {json.dumps(value)}}}"
    return f"{text}apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n{data}"


def test_namespaces_are_suffixed_added_and_created_once() -> None:
    found = isolated(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {a: b}}\n---\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: data}\n"
    )
    assert [
        (o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in found.objects
    ] == [
        ("Namespace", None, "data-t1"),
        ("Namespace", None, "shop-t1"),
        ("ConfigMap", "shop-t1", "one"),
        ("ConfigMap", "data-t1", "two"),
    ]
    assert found.namespaces == {"shop": "shop-t1", "data": "data-t1"}
    assert not found.exclusive


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db.shop", "db.shop-t1"),
        ("db.shop:5432", "db.shop-t1:5432"),
        ("postgres://u:p@db.shop/x?y=db.shop", "postgres://u:p@db.shop-t1/x?y=db.shop-t1"),
        ("db.shop.svc", "db.shop-t1.svc"),
        ("http://db.shop.svc.cluster.local/p", "http://db.shop-t1.svc.cluster.local/p"),
        ("db-0.db.shop", "db-0.db.shop-t1"),
        ("anything.shop.svc", "anything.shop-t1.svc"),
        ("shop.svc.cluster.local", "shop-t1.svc.cluster.local"),
        ("db.shop, db.shop", "db.shop-t1, db.shop-t1"),
        ("db.shop.", "db.shop-t1."),
        ("system:serviceaccount:shop:default", "system:serviceaccount:shop-t1:default"),
        ("namespace: shop\nother: shop", "namespace: shop-t1\nother: shop"),
        ('{"namespace": "shop"}', '{"namespace": "shop-t1"}'),
        # none of these means the namespace
        ("shop", "shop"),
        ("db", "db"),
        ("db.shop.example.com", "db.shop.example.com"),
        ("db.shopping", "db.shopping"),
        ("my-db.shop", "my-db.shop"),
        ("cache.shop", "cache.shop"),
        ("db.workshop.svc", "db.workshop.svc"),
        ("db.shop-a.svc", "db.shop-a.svc"),
        ("shop.svcs", "shop.svcs"),
        ("com.shop.orders", "com.shop.orders"),
    ],
)
def test_addresses_in_texts(text: str, expected: str) -> None:
    assert by_kind(isolated(configmap(text)), "ConfigMap")["data"]["k"] == expected


def test_only_the_subjects_own_namespaces_are_renamed_in_texts() -> None:
    found = isolated(configmap("kube-dns.kube-system.svc metrics.monitoring.svc"))
    text = by_kind(found, "ConfigMap")["data"]["k"]
    assert text == "kube-dns.kube-system.svc metrics.monitoring.svc"


def test_a_namespace_whose_name_starts_with_another() -> None:
    text = configmap("db.shop.svc db.shop-eu.svc") + (
        "\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: shop-eu}\n"
    )
    found = isolated(text)
    one = next(o for o in found.objects if o["metadata"]["name"] == "a")
    assert one["data"]["k"] == "db.shop-t1.svc db.shop-eu-t1.svc"


def test_secrets_are_renamed_inside_base64_and_binary_ones_stay() -> None:
    dsn = base64.b64encode(b"postgres://u:p@db.shop.svc/x").decode()
    binary = base64.b64encode(bytes(range(256))).decode()
    data = f"data: {{dsn: {dsn}, bin: {binary}}}"
    found = isolated(f"apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\n{data}\n")
    secret = by_kind(found, "Secret")
    assert base64.b64decode(secret["data"]["dsn"]) == b"postgres://u:p@db.shop-t1.svc/x"
    assert secret["data"]["bin"] == binary


def test_pods_arguments_variables_and_identities() -> None:
    found = isolated(
        """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, labels: {app: shop}}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      priorityClassName: high
      containers:
        - name: api
          image: registry.shop.svc/api:1
          command: [api, --namespace, shop, --watch-namespace=shop, -n, shop, --db, shop]
          args: [sh, -c, "kubectl -n shop get pods; psql -h db.shop.svc -d shop"]
          env:
            - {name: POD_NAMESPACE, value: shop}
            - {name: WATCH_NAMESPACES, value: "shop,other"}
            - {name: PGDATABASE, value: shop}
          readinessProbe: {httpGet: {path: /, port: 80, host: db.shop.svc}}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 10
"""
    )
    deployment = by_kind(found, "Deployment")
    assert deployment["metadata"]["labels"] == {"app": "shop"}
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": "shop"}}
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["priorityClassName"] == "high-t1"
    assert by_kind(found, "PriorityClass")["metadata"] == {"name": "high-t1"}
    assert container["image"] == "registry.shop.svc/api:1"
    assert container["command"] == [
        *("api", "--namespace", "shop-t1", "--watch-namespace=shop-t1", "-n", "shop-t1"),
        *("--db", "shop"),
    ]
    assert container["args"][2] == "kubectl -n shop-t1 get pods; psql -h db.shop-t1.svc -d shop"
    assert [each["value"] for each in container["env"]] == ["shop-t1", "shop-t1,other", "shop"]
    assert container["readinessProbe"]["httpGet"]["host"] == "db.shop-t1.svc"


def test_rbac() -> None:
    found = isolated(
        """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects:
  - {kind: ServiceAccount, name: api, namespace: shop}
  - {kind: Group, apiGroup: rbac.authorization.k8s.io, name: "system:serviceaccounts:shop"}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: view}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: api, namespace: shop}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: api, namespace: shop}
"""
    )
    binding = by_kind(found, "ClusterRoleBinding")
    assert binding["metadata"] == {"name": "reader-t1"}
    assert binding["roleRef"]["name"] == "reader-t1"
    assert [each.get("namespace") for each in binding["subjects"]] == ["shop-t1", None]
    assert binding["subjects"][1]["name"] == "system:serviceaccounts:shop-t1"
    assert by_kind(found, "RoleBinding")["roleRef"]["name"] == "view", "a built-in role is not ours"
    assert not found.exclusive


def test_volumes_and_classes() -> None:
    found = isolated(
        """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast}
provisioner: x
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv}
spec: {storageClassName: fast, claimRef: {name: c, namespace: shop}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: c}
spec: {storageClassName: fast, volumeName: pv}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  template: {spec: {containers: []}}
  volumeClaimTemplates: [{metadata: {name: d}, spec: {storageClassName: standard}}]
"""
    )
    claim = by_kind(found, "PersistentVolumeClaim")
    assert claim["spec"] == {"storageClassName": "fast-t1", "volumeName": "pv-t1"}
    volume = by_kind(found, "PersistentVolume")["spec"]
    assert volume == {
        "storageClassName": "fast-t1",
        "claimRef": {"name": "c", "namespace": "shop-t1"},
    }
    template = by_kind(found, "StatefulSet")["spec"]["volumeClaimTemplates"][0]
    assert template["spec"]["storageClassName"] == "standard"


def test_network_policies_meet_the_renamed_namespaces() -> None:
    found = isolated(
        """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a}
spec:
  podSelector: {matchLabels: {app: shop}}
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
        - namespaceSelector:
            matchExpressions:
              - {key: kubernetes.io/metadata.name, operator: In, values: [shop, other]}
"""
    )
    key = "kubernetes.io/metadata.name"
    peers = by_kind(found, "NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert peers[0]["namespaceSelector"]["matchLabels"][key] == "shop-t1"
    assert peers[1]["namespaceSelector"]["matchLabels"][key] == "kube-system"
    assert peers[2]["namespaceSelector"]["matchExpressions"][0]["values"] == ["shop-t1", "other"]
    assert by_kind(found, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == {"app": "shop"}


WEBHOOK = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: guard}
webhooks:
  - name: guard.shop.svc
    clientConfig: {service: {name: guard, namespace: shop}}
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (WEBHOOK, "judges the objects of every namespace"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: kube-system}", "shares"),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
            "spec: {ports: [{port: 1, nodePort: 30001}]}",
            "node port 30001",
        ),
        (
            "apiVersion: storage.k8s.io/v1\nkind: CSIDriver\nmetadata: {name: x.csi}",
            "own name only",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
            "spec: {hostNetwork: true, containers: []}",
            "hostNetwork",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
            "spec: {containers: [{name: a, ports: [{containerPort: 1, hostPort: 80}]}]}",
            "host port 80",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
            "spec: {containers: [], volumes: [{name: v, hostPath: {path: /data}}]}",
            "/data of its node",
        ),
        (
            "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: a}\n"
            "globalDefault: true",
            "default for the whole cluster",
        ),
        (
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\n"
            "spec: {rules: [{host: api.shop.com}]}",
            "api.shop.com",
        ),
    ],
)
def test_what_makes_a_trial_exclusive(text: str, why: str) -> None:
    found = isolated(text)
    assert found.exclusive
    assert len(found.why) == 1
    assert why in found.why[0]


def test_a_webhook_confined_to_the_subject_shares_its_cluster() -> None:
    confined = (
        WEBHOOK + "    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}\n"
    )
    text = f"{confined}---\napiVersion: v1\nkind: Service\nmetadata: {{name: guard}}\nspec: {{}}\n"
    found = isolated(text)
    assert not found.exclusive
    (hook,) = by_kind(found, "ValidatingWebhookConfiguration")["webhooks"]
    assert hook["clientConfig"]["service"]["namespace"] == "shop-t1"
    assert hook["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == "shop-t1"


def test_objects_of_the_cluster_stay_where_they_are() -> None:
    found = isolated(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: coredns, namespace: kube-system}\n"
    )
    assert found.objects[-1]["metadata"]["namespace"] == "kube-system"
    assert "kube-system" not in found.namespaces


def test_custom_resources_of_a_cluster_scoped_definition_get_no_namespace() -> None:
    found = isolated(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
        "metadata: {name: rings.x.io}\nspec: {scope: Cluster, names: {kind: Ring}}\n---\n"
        "apiVersion: x.io/v1\nkind: Ring\nmetadata: {name: one}\n"
    )
    assert "namespace" not in by_kind(found, "Ring")["metadata"]
    assert len(found.why) == 2


def test_a_name_that_becomes_too_long_is_refused() -> None:
    with pytest.raises(ManifestError) as raised:
        isolated("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}", default="x" * 62)
    assert "shorten the name to 60 characters" in raised.value.remedy


def test_two_trials_never_share_a_name() -> None:
    text = configmap("db.shop.svc") + "\n---\n" + WEBHOOK
    one, two = isolated(text, "t1"), isolated(text, "t2")
    assert not {names(obj) for obj in one.objects} & {names(obj) for obj in two.objects}


def test_old_annotations_name_classes_too() -> None:
    found = isolated(
        """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast}
provisioner: x
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: c, annotations: {volume.beta.kubernetes.io/storage-class: fast, other: fast}}
"""
    )
    annotations = by_kind(found, "PersistentVolumeClaim")["metadata"]["annotations"]
    assert annotations == {"volume.beta.kubernetes.io/storage-class": "fast-t1", "other": "fast"}


@pytest.mark.parametrize(
    ("selector", "exclusive"),
    [
        ("{matchLabels: {kubernetes.io/metadata.name: shop}}", False),
        ("{matchExpressions: [{key: %s, operator: In, values: [shop]}]}", False),
        ("{matchExpressions: [{key: %s, operator: In, values: [x]}]}", True),
        ("{matchExpressions: [{key: %s, operator: Exists}]}", True),
        ("{matchLabels: {team: shop}}", True),
        ("{}", True),
    ],
)
def test_policies_that_judge_only_the_subject(selector: str, exclusive: bool) -> None:
    selector = selector.replace("%s", "kubernetes.io/metadata.name")
    found = isolated(
        f"""
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: digests}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: digests}}
spec: {{policyName: digests, matchResources: {{namespaceSelector: {selector}}}}}
"""
    )
    assert found.exclusive is exclusive
    binding = by_kind(found, "ValidatingAdmissionPolicyBinding")
    assert binding["spec"]["policyName"] == "digests-t1"


def test_priority_levels_and_flow_schemas() -> None:
    found = isolated(
        """
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: slow}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: slow}
spec:
  priorityLevelConfiguration: {name: slow}
  rules:
    - subjects: [{kind: ServiceAccount, serviceAccount: {name: writer, namespace: shop}}]
"""
    )
    schema = by_kind(found, "FlowSchema")
    assert schema["metadata"]["name"] == schema["spec"]["priorityLevelConfiguration"]["name"]
    assert schema["spec"]["priorityLevelConfiguration"]["name"] == "slow-t1"
    account = schema["spec"]["rules"][0]["subjects"][0]["serviceAccount"]
    assert account == {"name": "writer", "namespace": "shop-t1"}
