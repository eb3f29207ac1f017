"""`harness judge`: the same verdicts from the folder alone, without cluster or scenarios."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import histories
import orjson
import pytest

from harness.errors import HistoryError, UsageError
from harness.runs.rejudge import judge_folder, rejudge

# What `python -m harness.cli judge` does, where no scenario and no cluster configuration exists.
JUDGE = """
import sys
from pathlib import Path
from harness import paths
real = paths.data
def absent(name):
    if name == "scenarios":
        raise AssertionError("judging must not look at scenarios")
    return real(name)
paths.data = absent
sys.argv = ["harness", "judge", sys.argv[1]]
from harness.cli import main
sys.exit(main())
"""


def verdicts(run: Path) -> dict[str, Any]:
    return {p.parent.name: orjson.loads(p.read_bytes()) for p in run.glob("*/verdict.json")}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judging") / "run"
    stories = (histories.HARDENED, histories.FRAGILE, histories.NOT_FELT)
    return histories.write_run(folder, *stories, exit_code=3)


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def test_judged_again_without_cluster_kubeconfig_or_scenarios(run: Path, tmp_path: Path) -> None:
    before = verdicts(run)
    for path in run.glob("*/verdict.json"):
        path.unlink()
    (tmp_path / "bin").mkdir()
    bare = {
        "PATH": str(tmp_path / "bin"),
        "HOME": str(tmp_path),
        "HARNESS_HOME": str(tmp_path / "none"),
        "KUBECONFIG": str(tmp_path / "no-kubeconfig"),
        "DOCKER_HOST": "unix:///nowhere",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, str(run)],
        env=bare,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert verdicts(run) == before
    assert {v["verdict"] for v in before.values()} == {"survived", "failed", "inconclusive"}
    assert not (tmp_path / "none").exists(), "judging made state on the machine"


def test_exit_code_follows_what_is_found_now(run: Path) -> None:
    assert rejudge(run) == 3
    shutil.rmtree(run / "liveness-checks-database__not-felt")
    document = orjson.loads((run / "run.json").read_bytes())
    document["trials"] = [name for name in document["trials"] if "not-felt" not in name]
    (run / "run.json").write_bytes(orjson.dumps(document))
    assert rejudge(run) == 0
    assert orjson.loads((run / "run.json").read_bytes())["exit_code"] == 0
    (run / "run.json").write_bytes(orjson.dumps({**document, "by": "verdict"}))
    assert rejudge(run) == 1
    (run / "run.json").write_bytes(orjson.dumps({**document, "residue": ["left over: Pod/x"]}))
    assert rejudge(run) == 3


def test_one_trial_alone(run: Path) -> None:
    trial = run / "liveness-checks-database__fragile"
    assert rejudge(trial) == 0
    document = orjson.loads((trial / "trial.json").read_bytes())
    (trial / "trial.json").write_bytes(orjson.dumps({**document, "residue": ["left"]}))
    assert rejudge(trial) == 3


def test_judgement_does_not_depend_on_the_stored_verdict(run: Path) -> None:
    path = run / "liveness-checks-database__fragile" / "verdict.json"
    true = path.read_bytes()
    path.write_bytes(true.replace(b'"failed"', b'"survived"'))
    rejudge(run)
    assert orjson.loads(path.read_bytes()) == orjson.loads(true)


def test_torn_last_lines_change_nothing_but_what_they_held(run: Path) -> None:
    trial = run / "liveness-checks-database__hardened"
    before = judge_folder(trial)
    for name in ("history.jsonl", "requests.jsonl"):
        with (trial / name).open("ab") as file:
            file.write(b'{"t": 12, "type": "prob')
    assert judge_folder(trial) == before


def test_trial_that_died_in_sustain_is_inconclusive(tmp_path: Path) -> None:
    folder = histories.write_run(tmp_path / "run", histories.INTERRUPTED)
    result = judge_folder(folder / "liveness-checks-database__interrupted")
    assert (result.verdict, result.blame) == ("inconclusive", "harness")


def test_other_schema(run: Path) -> None:
    path = run / "liveness-checks-database__hardened" / "history.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"schema":1', b'"schema":7', 1))
    with pytest.raises(HistoryError, match="has schema 7, this harness reads 1") as caught:
        rejudge(run)
    assert "version that recorded it" in caught.value.remedy


def test_objective_of_another_version(run: Path) -> None:
    path = run / "liveness-checks-database__hardened" / "history.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"name":"recovery"', b'"name":"sunspots"', 1))
    with pytest.raises(UsageError, match="knows no objective 'sunspots'"):
        rejudge(run)


def test_a_fault_that_nobody_knows_any_more_is_judged_all_the_same(run: Path) -> None:
    before = judge_folder(run / "liveness-checks-database__hardened")
    for path in run.glob("*/history.jsonl"):
        path.write_bytes(path.read_bytes().replace(b'"name":"slow-dependency"', b'"name":"gone"'))
    assert judge_folder(run / "liveness-checks-database__hardened") == before


def test_a_run_that_kept_only_what_was_declared_of_its_faults(run: Path) -> None:
    path = run / "liveness-checks-database__not-felt" / "history.jsonl"
    first, _, rest = path.read_bytes().partition(b"\n")
    trial = orjson.loads(first)
    del trial["faults"]
    path.write_bytes(orjson.dumps(trial) + b"\n" + rest)
    assert judge_folder(path.parent).deciding.startswith(
        "slow-dependency database 3s was not felt: "
    )


def test_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="is no run folder") as caught:
        rejudge(tmp_path)
    assert "harness run" in caught.value.remedy


def test_run_whose_trial_is_gone(run: Path) -> None:
    shutil.rmtree(run / "liveness-checks-database__fragile")
    with pytest.raises(HistoryError, match=r"history.jsonl does not exist"):
        rejudge(run)


def test_run_file_that_is_not_whole(run: Path) -> None:
    (run / "run.json").write_text('{"trials": [')
    with pytest.raises(HistoryError, match=r"run.json is not JSON") as caught:
        rejudge(run)
    assert caught.value.remedy


def test_run_of_another_schema(run: Path) -> None:
    document = orjson.loads((run / "run.json").read_bytes())
    (run / "run.json").write_bytes(orjson.dumps({**document, "schema": 9}))
    with pytest.raises(HistoryError, match="has schema 9, this harness reads 1"):
        rejudge(run)


def test_trial_that_ended_before_its_preflight(tmp_path: Path) -> None:
    (tmp_path / "trial.json").write_text("{}")
    (tmp_path / "history.jsonl").write_bytes(b"")
    with pytest.raises(HistoryError, match="has no trial record"):
        rejudge(tmp_path)
