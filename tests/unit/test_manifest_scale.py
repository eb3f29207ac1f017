from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from harness.errors import ManifestError
from harness.manifest.diff import diff
from harness.manifest.exposure import liveness_kills, readiness_removes
from harness.manifest.scale import good_factors, scale

HTTP = {"httpGet": {"path": "/", "port": 80}}


def deployment(
    *, spec: dict[str, Any] | None = None, pod: dict[str, Any] | None = None, **probes: Any
) -> list[dict[str, Any]]:
    container: dict[str, Any] = {"name": "api"}
    container |= {f"{kind}Probe": HTTP | values for kind, values in probes.items()}
    template = {"spec": {"containers": [container]} | (pod or {})}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "api"},
            "spec": {"template": template} | (spec or {}),
        }
    ]


def seed() -> list[dict[str, Any]]:
    return deployment(
        liveness={"initialDelaySeconds": 15, "periodSeconds": 20},
        readiness={"initialDelaySeconds": 5, "periodSeconds": 10, "failureThreshold": 3},
    )


def fields(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        change.path.rpartition("api]")[2] or change.path: change.after
        for change in diff(seed(), objects)
    }


def test_the_seeds_probes_five_times_faster() -> None:
    before = seed()
    scaled = scale(before, 5)
    assert before == seed(), "the input was changed"
    assert fields(scaled.objects) == {
        ".livenessProbe.initialDelaySeconds": 3,
        ".livenessProbe.periodSeconds": 4,
        ".readinessProbe.initialDelaySeconds": 1,
        ".readinessProbe.periodSeconds": 2,
        ".spec.template.spec.terminationGracePeriodSeconds": 6,
    }


def test_thresholds_and_timeouts_stay() -> None:
    objects = deployment(liveness={"periodSeconds": 20, "timeoutSeconds": 3, "failureThreshold": 4})
    probe = scale(objects, 5).objects[0]["spec"]["template"]["spec"]["containers"][0][
        "livenessProbe"
    ]
    assert (probe["periodSeconds"], probe["timeoutSeconds"], probe["failureThreshold"]) == (4, 3, 4)


def test_defaults_are_written_out_so_that_ratios_stay() -> None:
    pod = scale(deployment(readiness={}), 5).objects[0]["spec"]["template"]["spec"]
    assert pod["containers"][0]["readinessProbe"]["periodSeconds"] == 2
    assert pod["terminationGracePeriodSeconds"] == 6


def test_everything_that_is_a_time() -> None:
    objects = deployment(
        spec={"minReadySeconds": 10, "progressDeadlineSeconds": 600},
        pod={"terminationGracePeriodSeconds": 60},
        startup={"periodSeconds": 10, "failureThreshold": 30},
        liveness={"periodSeconds": 20, "terminationGracePeriodSeconds": 20},
    )
    container = objects[0]["spec"]["template"]["spec"]["containers"][0]
    container["lifecycle"] = {"preStop": {"sleep": {"seconds": 30}}}
    after = scale(objects, 10).objects[0]["spec"]
    pod = after["template"]["spec"]
    assert (after["minReadySeconds"], after["progressDeadlineSeconds"]) == (1, 60)
    assert pod["terminationGracePeriodSeconds"] == 6
    (api,) = pod["containers"]
    assert api["startupProbe"]["periodSeconds"] == 1
    assert api["startupProbe"]["failureThreshold"] == 30
    assert api["livenessProbe"]["terminationGracePeriodSeconds"] == 2
    assert api["lifecycle"]["preStop"]["sleep"]["seconds"] == 3


def test_one_changes_nothing() -> None:
    assert scale(seed(), 1).objects == seed()


@pytest.mark.parametrize("by", [2, 3, 4, 7, 10, 60])
def test_a_factor_that_breaks_ratios_is_refused_with_a_good_one(by: int) -> None:
    with pytest.raises(ManifestError) as raised:
        scale(seed(), by)
    assert "containers[api]" in raised.value.message or "terminationGrace" in raised.value.message
    assert "good factors here: 1, 5" in raised.value.remedy
    nearest = 1 if by == 2 else 5
    assert f"scale by {nearest} " in raised.value.remedy


@pytest.mark.parametrize("by", [0, -5])
def test_nonsense_factors(by: int) -> None:
    with pytest.raises(ManifestError, match="must be 1 or more"):
        scale(seed(), by)


def test_a_period_that_falls_below_its_timeout_is_told() -> None:
    objects = deployment(liveness={"periodSeconds": 15, "timeoutSeconds": 5})
    assert good_factors(objects) == [1, 3, 5, 15]
    assert scale(objects, 3).notes == ()
    (note,) = scale(objects, 5).notes
    assert "repeated every 5 s instead of every 3 s" in note
    above_already = deployment(liveness={"periodSeconds": 5, "timeoutSeconds": 9})
    assert scale(above_already, 5).notes == ()


def test_good_factors_hold_for_all_variants_at_once() -> None:
    other = deployment(liveness={"periodSeconds": 6})
    assert good_factors(seed()) == [1, 5]
    assert good_factors(other) == [1, 2, 3, 6]
    assert good_factors(seed(), other) == [1]


def test_notes_on_what_stays() -> None:
    objects = deployment(pod={"tolerations": [{"key": "a", "tolerationSeconds": 30}]})
    container = objects[0]["spec"]["template"]["spec"]["containers"][0]
    container["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    objects.append(
        {
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a"},
            "spec": {"behavior": {"x": 1}},
        }
    )
    notes = "\n".join(scale(objects, 5).notes)
    assert "tolerationSeconds is not scaled" in notes
    assert "preStop runs `sleep 5` as it is" in notes
    assert "HorizontalPodAutoscaler/a: windows" in notes


def test_objects_without_times_are_left_alone() -> None:
    objects = [{"kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": []}}]
    assert scale(objects, 7).objects == objects
    zero = deployment(pod={"terminationGracePeriodSeconds": 0})
    assert scale(zero, 7).objects == zero


def test_every_good_factor_keeps_every_ratio() -> None:
    numbers = random.Random(5)
    accepted = 0
    for _ in range(200):
        unit = numbers.choice([1, 2, 3, 5, 6])
        objects = deployment(
            pod={"terminationGracePeriodSeconds": unit * numbers.randint(1, 9)},
            liveness={
                "periodSeconds": unit * numbers.randint(1, 9),
                "initialDelaySeconds": unit * numbers.randint(0, 9),
            },
            readiness={"periodSeconds": unit * numbers.randint(1, 9)},
        )
        for factor in good_factors(objects):
            accepted += factor > 1
            after = scale(objects, factor).objects
            for ask, fixed in ((liveness_kills, 1), (readiness_removes, 1)):
                slow, fast = ask(objects[0]), ask(after[0])
                assert slow is not None
                assert fast is not None
                assert fast.seconds - fixed == pytest.approx((slow.seconds - fixed) / factor)
            probe = after[0]["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]
            assert isinstance(probe["periodSeconds"], int)
            assert probe["periodSeconds"] >= 1
    assert accepted > 100
    assert copy.deepcopy(seed()) == seed()
