"""Mutants of judgement: verdicts that go by less than the evidence, or blame the first comer."""

from __future__ import annotations

from collections.abc import Sequence

from mutants import Mutant

VERDICT = "harness/judgement/verdict.py"
EXPOSURE = "harness/judgement/exposure.py"
TRUST = "harness/judgement/trust.py"
CONTENTION = "harness/judgement/contention.py"
REPLICAS = "harness/history/replicas.py"
PHASES = "harness/history/phases.py"
FACTS = "harness/history/facts.py"
DIFFERENCES = "harness/history/differences.py"
REQUESTS = "harness/history/requests.py"
ROLLOUTS = "harness/objectives/rollouts.py"
ATTEMPTS = "harness/objectives/attempts.py"
DENIALS = "harness/objectives/denials.py"
RULE = ("tests/unit/test_verdict.py", "tests/unit/test_trust.py")
TRIES = ("tests/unit/test_objectives_attempts.py",)
CROWD = ("tests/unit/test_crowding.py", "tests/unit/test_trust.py")

JUDGEMENT: Sequence[Mutant] = (
    Mutant(
        "whatever the cluster did not take was denied by a guard",
        DENIALS,
        'if answer.stage == "admission":',
        "if not answer.admitted:",
        ("tests/unit/test_objectives_rollouts.py",),
    ),
    Mutant(
        "a pod that could not be made was denied by a guard",
        DENIALS,
        "if any(words in event.message for words in _GUARDS):",
        "if True:",
        ("tests/unit/test_objectives_rollouts.py",),
    ),
    Mutant(
        "every measurement is felt",
        EXPOSURE,
        "if not m.felt and not (m.cured and since is not None):",
        "if False:",
        RULE,
    ),
    Mutant("no safety in the exposure", EXPOSURE, "SAFETY = 1.5", "SAFETY = 0.0", RULE),
    Mutant(
        "a gap between measurements is exposure",
        EXPOSURE,
        "if m.began - before > LONGEST_GAP_S * SECOND:",
        "if False:",
        RULE,
    ),
    Mutant(
        "what broke before the fault was at work fails the trial",
        VERDICT,
        "if finding.at is not None and finding.at < at_work:",
        "if False:",
        RULE,
    ),
    Mutant(
        "the control run is not looked at",
        VERDICT,
        "    lost = control_lost(history, control)\n",
        "    lost = None\n",
        RULE,
    ),
    Mutant(
        "the generator's lag is ignored",
        VERDICT,
        "    if health.fell_behind:",
        "    if False:",
        RULE,
    ),
    Mutant(
        "who had the machine is ignored",
        VERDICT,
        "    if worst is None or not worst.crowded:",
        "    if True:",
        RULE,
    ),
    Mutant(
        "exposure is not asked for",
        VERDICT,
        "if f.seconds < e.seconds",
        "if False",
        RULE,
    ),
    Mutant(
        "every fault reaches every pod",
        FACTS,
        "if not self.spares_target or target is None:",
        "if True:",
        RULE,
    ),
    Mutant(
        "a difference is taken for the whole truth",
        DIFFERENCES,
        'if merged(before, patch) != record["object"]:',
        "if False:",
        ("tests/unit/test_history_differences.py",),
    ),
    Mutant(
        "open is as good as met",
        VERDICT,
        'for _, f in answers if f.state == "open"',
        "for _, f in ()",
        RULE,
    ),
    Mutant(
        "nobody need meet the fault", TRUST, "if not fault.met or any(", "if True or any(", RULE
    ),
    Mutant(
        "blindness is ignored",
        TRUST,
        "if blind.kind in objective.watches and blind.window.touches(judged)",
        "if False",
        RULE,
    ),
    Mutant(
        "a watch that never sees again is no blindness",
        "harness/history/records.py",
        "return (self.end is None or other.begin <= self.end) and (",
        "return (self.end is not None and other.begin <= self.end) and (",
        RULE,
    ),
    Mutant(
        "one answer in control is enough",
        "harness/history/outcomes.py",
        "ENOUGH = 5",
        "ENOUGH = 1",
        ("tests/unit/test_no_green_by_accident.py",),
    ),
    Mutant(
        "404 is an answer like any other",
        TRUST,
        "    if served < ENOUGH:",
        "    if False:",
        RULE,
    ),
    Mutant(
        "a load that ended is a load",
        TRUST,
        "    if requests.scheduled >= ENOUGH:\n        return []\n",
        "    return []\n",
        RULE,
    ),
    Mutant(
        "what is told late is of the fault",
        PHASES,
        "if own is None or injected is None or wall is None or not self.predates(own):",
        "if True:",
        RULE,
    ),
    Mutant(
        "the control run ends before the injection",
        PHASES,
        "else Window(control.begin, self.injected_at)",
        "else control",
        RULE,
    ),
    Mutant(
        "the manifest's replicas count",
        REPLICAS,
        "otherwise = facts.replicas if injected is None else history.ready_at(role, injected)",
        "otherwise = facts.replicas",
        RULE,
    ),
    Mutant(
        "an eviction is no restart",
        REPLICAS,
        "            if old is not None:",
        "            if False:",
        RULE,
    ),
    Mutant(
        "a refused request is a fast one",
        REQUESTS,
        "took = np.full(self.scheduled, np.inf)",
        "took = np.zeros(self.scheduled)",
        (*RULE, "tests/unit/test_load_requests.py"),
    ),
    Mutant(
        "any change is the rollout",
        ROLLOUTS,
        'name in before and workload["spec"]["template"] != before[name]["spec"]["template"]',
        "name in before",
        RULE,
    ),
    Mutant(
        "nothing lost is something healed",
        ROLLOUTS,
        "            if lost and t > lost[0] and not missing",
        "            if not missing",
        RULE,
    ),
    Mutant(
        "what is permitted counts as an attempt",
        ATTEMPTS,
        "and not attempt.permitted and",
        "and",
        TRIES,
    ),
    Mutant(
        "silence is a refusal",
        ATTEMPTS,
        'for each in tried if each.answer == "refused"}',
        "for each in tried}",
        TRIES,
    ),
    Mutant(
        "one pod refuses for all",
        ATTEMPTS,
        "if not refused or wanted - refused:",
        "if not refused:",
        TRIES,
    ),
    Mutant(
        "a crowded machine allows what is forbidden",
        VERDICT,
        "    if finding.at_any_speed:",
        "    if False:",
        TRIES,
    ),
    Mutant(
        "siblings are no others",
        CONTENTION,
        'nodes + grown["siblings"] + grown["stolen"]',
        'nodes + grown["stolen"]',
        CROWD,
    ),
    Mutant(
        "a starved kubelet has counted on",
        CONTENTION,
        "_FRESH_S = 20.0",
        "_FRESH_S = 2000.0",
        CROWD,
    ),
    Mutant(
        "short stretches are not seen", CONTENTION, "STRETCH_S = 15.0", "STRETCH_S = 30.0", CROWD
    ),
)
