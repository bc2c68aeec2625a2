"""Certificates from a guard's log: certify once (`certify_guard`), then monitor drift (`monitor_drift`).

Both return a frozen report with `to_json`. Reading order: `report` (the operation), `evidence` (which audits count),
`risk_report` and `figures` (curves and costs), `drift_monitor`, `plots` (PNG and SVG).
"""

from llmguard.operations.certify.drift_monitor import DriftReport, follow_drift, monitor_drift
from llmguard.operations.certify.evidence import Evidence, evidence_of
from llmguard.operations.certify.figures import Figures, figures_of
from llmguard.operations.certify.plots import draw_certificate, draw_drift
from llmguard.operations.certify.report import CertificationReport, certify_guard
from llmguard.operations.certify.risk_report import Curve, curve_of

__all__ = [
    "CertificationReport",
    "Curve",
    "DriftReport",
    "Evidence",
    "Figures",
    "certify_guard",
    "curve_of",
    "draw_certificate",
    "draw_drift",
    "evidence_of",
    "figures_of",
    "follow_drift",
    "monitor_drift",
]
