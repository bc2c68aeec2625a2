"""Perform effects: the only module that knows sync from async.

A driver sends a flow its answers until it returns. It keeps the deadline, evaluates waits, runs users' functions where
they belong, and tells the recorder every answer before the flow hears it.
"""

from __future__ import annotations

from llmguard.drive.aio import adrive, aevents
from llmguard.drive.run import NEVER, Price, Run, TimeLeft, timed, voided
from llmguard.drive.sync import drive, events

__all__ = ["NEVER", "Price", "Run", "TimeLeft", "adrive", "aevents", "drive", "events", "timed", "voided"]
