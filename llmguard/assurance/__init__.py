"""A guard's promise, from its log: certificates out of reviewed audits, the drift alarm, and the pictures.

Reading order: `evidence` (what counts), `curve` and `figures` (what it looks like), `alarm` (when it no longer holds),
`picture` (PNG and SVG).
"""

from llmguard.assurance.alarm import Watched, alarm, watched
from llmguard.assurance.curve import Curve, curve_of
from llmguard.assurance.evidence import Evidence, evidence_of
from llmguard.assurance.figures import Figures, figures_of
from llmguard.assurance.picture import draw_certificate, draw_drift

__all__ = [
    "Curve",
    "Evidence",
    "Figures",
    "Watched",
    "alarm",
    "curve_of",
    "draw_certificate",
    "draw_drift",
    "evidence_of",
    "figures_of",
    "watched",
]
