"""A reply is watched while it is written: its value as far as it is known, and what no continuation of it can mend."""

from llmguard.watching.places import Places
from llmguard.watching.watcher import Watcher

__all__ = ["Places", "Watcher"]
