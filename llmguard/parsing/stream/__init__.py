"""A reply is watched while it is written: its value as far as it is known, and what no continuation of it can mend."""

from llmguard.parsing.stream.locations import StreamLocations
from llmguard.parsing.stream.validator import JsonStreamValidator

__all__ = ["JsonStreamValidator", "StreamLocations"]
