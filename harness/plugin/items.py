"""Scenarios as test items: one per variant, `slug[variant]`.

The trial runs in the item's setup and is compared with what was expected in its call, so an
inconclusive trial is an error and a wrong outcome a failure, in JUnit too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError, Inconclusive
from harness.plugin import settings

if TYPE_CHECKING:
    from harness.runs.catalog import Found
    from harness.runs.options import TrialEnd


class ScenarioFile(pytest.File):
    """One scenario; its items are its variants."""

    def collect(self) -> Iterator[ScenarioItem]:
        """One item per variant; an error in the file is a collection error with its remedy."""
        from harness.runs import catalog
        from harness.runs.fitting import NotApplicable, fit

        try:
            found = catalog.load_scenario(self.path.parent)
            own = settings.subject(self.config)
            if own is not None:
                fitted = fit(found, *own)
                if isinstance(fitted, NotApplicable):
                    # Not collected rather than skipped: nothing that could have run is hidden,
                    # and `harness list --subject` tells why.
                    return
                found = fitted
        except HarnessError as error:
            raise self.CollectError(str(error)) from error
        for variant in found.scenario.variants:
            yield ScenarioItem.from_parent(
                self, name=f"{found.slug}[{variant}]", found=found, variant=variant
            )


class WrongOutcome(AssertionError):  # noqa: N818 - a failed expectation, like an assertion
    """The verdict is not the one that was expected, or not for the stated reason."""


class ScenarioItem(pytest.Item):
    """One variant of one scenario: a trial."""

    def __init__(
        self, *, name: str, parent: ScenarioFile, found: Found, variant: str, **rest: Any
    ) -> None:
        # As text, which pytest reads as it reads the ids that it remembers for --lf: the variant is
        # to be what a parameter is, and not part of the name.
        super().__init__(name, parent, nodeid=f"{parent.nodeid}::{name}", **rest)
        self.found = found
        self.variant = variant
        self.end: TrialEnd | None = None
        self.add_marker(pytest.mark.harness(found.scenario.shape))

    def setup(self) -> None:
        """Run the trial; raises Inconclusive, which pytest reports as an error."""
        from harness.runs.options import Options

        option = self.config.getoption
        subject = option("--harness-subject")
        options = Options(
            subject=Path(subject) if subject else None,
            faithful=option("--harness-faithful"),
            seed=settings.seed(self.config),
            shape=settings.shape(self.session),
            cluster=option("--harness-cluster"),
            folder=settings.run_folder(self.config),
            command=["pytest", *map(str, self.config.invocation_params.args)],
        )
        self.end = end = self.ihook.pytest_harness_trial(
            item=self, found=self.found, variant=self.variant, options=options
        )
        self.stash[settings.STORY] = self._story
        result = end.result
        self.user_properties += [
            ("verdict", result.verdict),
            ("outcome", result.outcome),
            ("seconds", f"{end.seconds:.1f}"),
        ]
        if result.verdict == "inconclusive":
            raise Inconclusive(
                f"{result.deciding}\n  to blame: {result.blame}", remedy=_REMEDIES[result.blame]
            )
        if end.residue:
            raise Inconclusive(
                f"{result.verdict}, but left behind: " + "; ".join(end.residue),
                remedy="run `harness heal`; if it is still there, `harness up --rebuild`",
            )

    def runtest(self) -> None:
        """Compare with what was expected; raises WrongOutcome."""
        assert self.end is not None
        result = self.end.result
        if result.outcome != "as expected":
            expected = self.found.scenario.variants[self.variant].verdict
            raise WrongOutcome(f"{result.outcome}: {result.deciding} (expected: {expected})")

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """Our own errors without a traceback: the message and the remedy are what helps."""
        if isinstance(excinfo.value, HarnessError | WrongOutcome):
            return f"{type(excinfo.value).__name__}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the item comes from and what it is called."""
        return self.path, None, self.name

    def _story(self) -> str:
        from harness.authoring.failure_report import tell
        from harness.history.history import History

        assert self.end is not None
        result, folder = self.end.result, self.end.plan.placement.folder
        lines = [f"{result.verdict}: {result.deciding}"]
        lines += [
            f"  {finding.state}: {name}: {finding.reason}" for name, finding in result.objectives
        ]
        lines += [
            f"  shown: {name}: {seen.text}" if seen else f"  NOT shown: {name}"
            for name, seen in result.shows
        ]
        history = History.read(folder)
        lines += tell("what was seen", history, (), folder)
        return "\n".join(lines)


_REMEDIES = {
    "harness": "see the history for what happened in its phases; if the harness is at fault, "
    "report it with the run folder",
    "host": "give this machine less to do at the same time, or ask for a lower rate",
    "subject": "mend the subject first: a trial needs one that serves without the fault",
    None: "see the history for what happened in its phases",
}
