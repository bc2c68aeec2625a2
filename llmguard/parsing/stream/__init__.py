"""Validation of a reply while it is written: its value so far, and violations that no continuation can repair.

Reading order: `validator` (the entry), `lead_in` (where the value begins), `stack` (the open containers), `locations` (what
the schema says of each), `scalars` (which scalars are refused).
"""

from llmguard.parsing.stream.locations import StreamLocations
from llmguard.parsing.stream.validator import JsonStreamValidator

__all__ = ["JsonStreamValidator", "StreamLocations"]
