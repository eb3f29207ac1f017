"""What the fixtures for test authors hand out: an application, its traffic, a fault that is in.

Everything is carried out by `harness.trial.stage`, as in a trial; here are the order that the
author of a test decides, and what an author may ask afterwards. How pytest gets hold of it is in
`harness.plugin.fixtures`.
"""

from __future__ import annotations

from harness.authoring.app import App, Target
from harness.authoring.author_namespace import Namespace
from harness.authoring.injection import Injected
from harness.authoring.session import AuthoringSession
from harness.authoring.traffic import Traffic

__all__ = ["App", "AuthoringSession", "Injected", "Namespace", "Target", "Traffic"]
