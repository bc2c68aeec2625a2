"""Recorded answers in the world's place: exactly as they were (`exact`), or in front of today's guard (`what_if`)."""

from llmguard.replay.exact import Recorded, replay, replay_exactly
from llmguard.replay.what_if import Live, Same, WhatIf, fresh_names, what_if

__all__ = ["Live", "Recorded", "Same", "WhatIf", "fresh_names", "replay", "replay_exactly", "what_if"]
