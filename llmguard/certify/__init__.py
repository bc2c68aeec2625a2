"""Certificates for automatic acceptance from audited outcomes, and the alarm when they no longer hold.

Reading order: `items` (audited outcomes, policies), `families` (those of a guard), `audits` (draws), `binomial`,
`sequence` (the exact test), `eprocess` (the test for any time), `certifying`, `certificate`, `drift`, `labels`,
`curves`, `judges`.
"""

from llmguard.certify.audits import is_drawn, is_kept
from llmguard.certify.certificate import Audited, Certificate, Kept, Refusal, percent, table_lines
from llmguard.certify.certifying import certify
from llmguard.certify.curves import Bin, RiskPoint, bars, reliability, risk_coverage
from llmguard.certify.drift import Drift, watch
from llmguard.certify.families import family_of, knob
from llmguard.certify.items import AcceptancePolicy, AuditedItem, PlanPolicy, Rule, Threshold, plans, thresholds
from llmguard.certify.judges import Kappa, cohens_kappa
from llmguard.certify.labels import labels_needed, labels_without_error
from llmguard.certify.sequence import Tested, fixed_sequence

__all__ = [
    "AcceptancePolicy",
    "Audited",
    "AuditedItem",
    "Bin",
    "Certificate",
    "Drift",
    "Kappa",
    "Kept",
    "PlanPolicy",
    "Refusal",
    "RiskPoint",
    "Rule",
    "Tested",
    "Threshold",
    "bars",
    "certify",
    "cohens_kappa",
    "family_of",
    "fixed_sequence",
    "is_drawn",
    "is_kept",
    "knob",
    "labels_needed",
    "labels_without_error",
    "percent",
    "plans",
    "reliability",
    "risk_coverage",
    "table_lines",
    "thresholds",
    "watch",
]
