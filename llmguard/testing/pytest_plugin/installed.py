"""What the entry point `llmguard` names. PYTEST_DONT_REWRITE: nothing is asserted here.

A module of its own, for pytest refuses one plugin under two names: `-p llmguard.testing.pytest_plugin` and the entry point.
"""

from __future__ import annotations

pytest_plugins = ("llmguard.testing.pytest_plugin",)
