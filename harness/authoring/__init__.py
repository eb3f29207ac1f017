"""What the fixtures for test authors hand out: an application, its traffic, a fault that is in.

Everything is carried out by `harness.trial.stage`, as in a trial; here are the order that the
author of a test decides, and what an author may ask afterwards. How pytest gets hold of it is in
`harness.plugin.fixtures`.
"""

from __future__ import annotations

from harness.authoring.app import App, Target
from harness.authoring.injection import Injected
from harness.authoring.space import Namespace
from harness.authoring.traffic import Traffic
from harness.authoring.workbench import Workbench

__all__ = ["App", "Injected", "Namespace", "Target", "Traffic", "Workbench"]
