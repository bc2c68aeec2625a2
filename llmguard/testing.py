"""What tests of guards need: a model whose replies are written down.

>>> from llmguard import Guard
>>> model = ScriptedModel(["about 36", "36"])
>>> guard = Guard("age", prompt="How old is {{ who }}?", schema=int, models=[model], log=None)
>>> guard(who="Ada")
36
"""

from __future__ import annotations

from llmguard.messages import ModelFailure, ModelReply
from llmguard.models.scripted import ScriptedModel

__all__ = ["ModelFailure", "ModelReply", "ScriptedModel"]
