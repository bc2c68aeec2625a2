"""A guard's promise, from its log: certificates out of reviewed audits, the drift alarm, and the pictures.

Reading order: `evidence` (what counts), `curve` and `figures` (what it looks like), `alarm` (when it no longer holds),
`picture` (PNG and SVG).
"""

from llmguard.operations.certify.drift_monitor import Watched, alarm, watched
from llmguard.operations.certify.evidence import Evidence, evidence_of
from llmguard.operations.certify.figures import Figures, figures_of
from llmguard.operations.certify.plots import draw_certificate, draw_drift
from llmguard.operations.certify.risk_report import Curve, curve_of

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
