"""A secret that stands everywhere in a trial is nowhere in what the trial leaves on the disk."""

from __future__ import annotations

import asyncio
import base64
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from histories import FRAGILE, HARDENED, write_run
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from harness.errors import HostError
from harness.faults import rollouts
from harness.history.history import History
from harness.history.writer import Writer
from harness.host.files import private_folder, write_json
from harness.load.recorder import Recorder
from harness.manifest.subject_file import Role
from harness.redaction import redacted
from harness.report.folder import load_run
from harness.report.write import write_reports
from harness.runs.rejudge import judge_folder, rejudge
from harness.undo.ledger import Ledger

SECRETS = st.text("abcxyzABCXYZ0123456789_.~+!", min_size=10, max_size=30).map("S3".__add__)


def coded(secret: str) -> str:
    return base64.b64encode(secret.encode()).decode()


def container(secret: str) -> dict[str, Any]:
    return {
        "name": "api",
        "image": "shop/api:1",
        "args": ["--token", secret, f"--password={secret}"],
        "env": [
            {"name": "DB_PASSWORD", "value": secret},
            {"name": "QUEUE", "value": f"amqp://shop:{secret}@mq:5672/"},
            {"name": "COPY", "value": secret},
            {"name": "DELAY", "value": "0"},
        ],
    }


def deployed(secret: str, trial: str) -> list[dict[str, Any]]:
    """The objects of a subject that does everything wrong."""
    meta = {"name": "api", "namespace": f"shop-{trial}", "uid": "planted"}
    applied = orjson.dumps({"kind": "Secret", "data": {"x": coded(secret)}}).decode()
    return [
        {"kind": "Secret", "metadata": meta, "data": {"password": coded(secret)}},
        {"kind": "Secret", "metadata": {**meta, "name": "b"}, "stringData": {"x": secret}},
        {"kind": "ConfigMap", "metadata": meta, "data": {"app.yaml": f"db:\n  password: {secret}"}},
        {
            "kind": "Job",
            "metadata": {
                **meta,
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied},
            },
            "spec": {"template": {"spec": {"containers": [container(secret)]}}},
        },
    ]


def planted(secret: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Records that hold it, one for each way in which it was seen by the harness."""
    for obj in deployed(secret, "t1"):
        yield "object", {"kind": obj["kind"], "verb": "ADDED", "object": obj}
    crash = {"pod": "api-1", "container": "api", "previous": True, "restart": 1}
    yield "log", {**crash, "text": f"cannot log in with {secret}"}
    yield "log", {**crash, "text": f"data: {coded(secret)}\n"}
    yield "note", {"text": f"GET /orders?api_key={secret} gave 500"}
    yield "note", {"text": f"Authorization: Bearer {secret}"}
    body = {"spec": {"template": {"spec": {"containers": [container(secret)]}}}}
    request = {"id": "1", "at": "2026-01-31T03:14:00Z", "user": "me", "verb": "patch", "code": 200}
    yield "audit", {**request, "resource": "jobs", "name": "api", "body": body}
    warning = {"reason": "Failed", "message": f"no login with {secret}", "type": "Warning"}
    event = {"kind": "Event", "metadata": {"name": "e", "namespace": "shop-t1"}, **warning}
    yield "object", {"kind": "Event", "verb": "ADDED", "object": event}
    yield "fault", {"step": "undone", "text": f"a rollout ({orjson.dumps(body).decode()})"}


def record(folder: Path, secret: str) -> None:
    """The run again, with what is planted in it, by the ways that a trial writes."""
    for each in map(Path, orjson.loads((folder / "run.json").read_bytes())["trials"]):
        trial = folder / each
        told = History.read(trial).records
        (trial / "history.jsonl").unlink()
        objects = orjson.loads((trial / "manifests/objects.json").read_bytes())
        id_ = orjson.loads((trial / "trial.json").read_bytes())["trial"]
        written = redacted([*objects, *deployed(secret, id_)], aside=id_)
        write_json(trial / "manifests/objects.json", written)
        live = History()
        writer = Writer(trial, mirror=live)
        for number, old in enumerate(told):
            rest = {k: v for k, v in old.items() if k not in ("type", "wall")}
            writer.append(old["type"], **rest)
            if number == len(told) // 2:
                for type_, data in planted(secret):
                    writer.append(type_, t=old["t"], **data)
        writer.close()
        assert live.records == History.read(trial).records
    run = orjson.loads((folder / "run.json").read_bytes())
    words = ["harness", "run", "--password", secret, f"http://u:{secret}@127.0.0.1"]
    write_json(folder / "run.json", {**run, "command": words})


def everything(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


# Not made smaller: each example is a run with its reports.
@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(secret=SECRETS)
def test_no_byte_of_a_run_with_its_reports_holds_a_secret(
    secret: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = write_run(tmp_path_factory.mktemp("run") / "run", FRAGILE, HARDENED)
    before = [judge_folder(p.parent).to_json() for p in sorted(folder.glob("*/trial.json"))]
    record(folder, secret)
    rejudge(folder)
    write_reports(folder)
    left = everything(folder)
    assert b"hidden-" in left
    for form in (secret, coded(secret)):
        assert form.encode() not in left
    after = [orjson.loads(p.read_bytes()) for p in sorted(folder.glob("*/verdict.json"))]
    assert [(v["verdict"], v["reasons"]) for v in after] == [
        (v["verdict"], v["reasons"]) for v in before
    ]


@pytest.mark.parametrize(("other", "shown"), [("S3-another-one", True), ("S3-the-same-one", False)])
def test_a_secret_shows_as_changed_between_variants_if_it_is(
    tmp_path: Path, other: str, shown: bool
) -> None:
    folder = write_run(tmp_path / "run", FRAGILE, HARDENED)
    for secret, path in zip(
        ["S3-the-same-one", other], sorted(folder.glob("*/manifests/objects.json")), strict=True
    ):
        id_ = orjson.loads((path.parent.parent / "trial.json").read_bytes())["trial"]
        # What holds the trial's own names differs by them only.
        held = {"password": coded(secret), "url": coded(f"db.shop-{id_}:5432")}
        meta = {"name": "db", "namespace": f"shop-{id_}"}
        objects = orjson.loads(path.read_bytes())
        objects.append({"kind": "Secret", "metadata": meta, "data": held})
        write_json(path, redacted(objects, aside=id_))
    (comparison,) = load_run(folder).report.comparisons
    changed = [d for d in comparison.differences if d.object == "Secret/db"]
    assert [d.path for d in changed] == ([".data.password"] if shown else [])
    for difference in changed:
        assert all(str(v).startswith("hidden-") for v in difference.values.values())


def test_a_rollout_leaves_no_variable_beside_it_in_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches: list[Any] = []

    async def get(*_: Any) -> Any:
        return {"spec": {"template": {"spec": {"containers": [container("S3-beside-it")]}}}}

    async def patch(*words: Any, strategic: bool) -> None:
        patches.append((words, strategic))

    monkeypatch.setenv("PYTHONPATH", str(Path(rollouts.__file__).parents[2]))
    with Ledger.open(tmp_path / "ledger") as ledger:
        ctx: Any = SimpleNamespace(
            kube=SimpleNamespace(get=get, patch=patch),
            trial="t1",
            namespace_of=lambda _: "shop-t1",
            record=lambda kind, data: ledger.record(kind, data, cluster=None, trial="t1"),
        )
        role = Role.model_validate("Deployment/api")
        asyncio.run(
            rollouts.roll_out(ctx, role, "api", image="shop/api:2", variable=("DELAY", "30"))
        )
        text = ledger.path.read_bytes()
        (kept,) = ledger.open_records
        assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(ledger.path.parent.stat().st_mode) == 0o700
    assert b"S3-beside-it" not in text
    assert kept.data["fields"] == {
        "name": "api",
        "image": "shop/api:1",
        "env": [{"name": "DELAY", "value": "0"}],
    }
    ((_, strategic),) = patches
    assert strategic


KEY = {"secretKeyRef": {"name": "db", "key": "delay"}}


def merged(env: list[Any], patch: list[Any]) -> list[Any]:
    """Kubernetes' strategic merge of variables: by name, null takes a field out, order stays."""
    out = {each["name"]: each for each in env}
    for each in patch:
        if each.get("$patch") == "delete":
            out.pop(each["name"], None)
            continue
        both = {**out.get(each["name"], {}), **each}
        out[each["name"]] = {k: v for k, v in both.items() if v is not None}
    return list(out.values())


@pytest.mark.parametrize(
    "old", [[], [{"name": "DELAY", "value": "0"}], [{"name": "DELAY", "valueFrom": KEY}]]
)
def test_a_variable_is_put_back_as_it_was_however_often(old: list[Any]) -> None:
    env = [{"name": "A", "value": "1"}, *old, {"name": "B", "value": "$(DELAY)"}]
    there, back = rollouts.variable_patches(env, "DELAY", "30")
    set_ = merged(env, there)
    assert {"name": "DELAY", "value": "30"} in set_
    assert merged(set_, back) == env == merged(merged(set_, back), back)


def test_an_error_quotes_no_credential() -> None:
    error = HostError("`pip install -i https://me:S3-index@pypi/simple` failed", remedy="mend it")
    assert "S3-index" not in str(error) + error.message
    assert "pypi/simple" in error.message


def test_what_a_locustfile_calls_its_requests_is_looked_through(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "requests.jsonl", flush_s=1)
    recorder.endpoint("GET /cart?token=S3-of-a-user")
    recorder.flush({"at": 1, "scheduled": 1, "sent": 1, "in_flight": 0})
    text = recorder.path.read_text()
    assert "GET /cart?token=hidden-" in text
    assert "S3-of-a-user" not in text


def test_nobody_else_looks_into_a_folder_or_what_had_to_be_made_above(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = tmp_path / "runs" / "one"
    private_folder(folder)
    private_folder(folder)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent, tmp_path)]
    assert modes == [0o700, 0o700, 0o755]
    writer = Writer(folder)
    writer.close()
    assert stat.S_IMODE(writer.path.stat().st_mode) == 0o600


def test_a_folder_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    private_folder(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_told_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HostError, match="point HARNESS_HOME"):
        private_folder(tmp_path / "file" / "home")
