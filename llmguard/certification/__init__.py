"""The statistics of certificates for automatic acceptance: from audited outcomes to a certificate, and drift detection.

Reading order: `audited_items` (audited outcomes, policies), `policy_families` (the policies of a guard), `audit_draws`,
`binomial` (exact bounds), `sequential_testing` (the exact test), `eprocess` (the test for any time), `certifying`,
`certificate`, `drift`, `label_estimates`, `risk_curves`, `judge_agreement`.
"""

from llmguard.certification.audit_draws import is_drawn, is_kept
from llmguard.certification.audited_items import (
    AcceptancePolicy,
    AuditedItem,
    PlanPolicy,
    Rule,
    Threshold,
    plans,
    thresholds,
)
from llmguard.certification.certificate import (
    Audited,
    Certificate,
    CertificateRefusal,
    StoredCertificate,
    percent,
    table_lines,
)
from llmguard.certification.certifying import certify
from llmguard.certification.drift import Drift, detect_drift
from llmguard.certification.judge_agreement import Kappa, cohens_kappa
from llmguard.certification.label_estimates import labels_needed, labels_without_error
from llmguard.certification.policy_families import family_of, policy_parameters
from llmguard.certification.risk_curves import Bin, RiskPoint, bars, reliability, risk_coverage
from llmguard.certification.sequential_testing import Tested, fixed_sequence

__all__ = [
    "AcceptancePolicy",
    "Audited",
    "AuditedItem",
    "Bin",
    "Certificate",
    "CertificateRefusal",
    "Drift",
    "Kappa",
    "PlanPolicy",
    "RiskPoint",
    "Rule",
    "StoredCertificate",
    "Tested",
    "Threshold",
    "bars",
    "certify",
    "cohens_kappa",
    "detect_drift",
    "family_of",
    "fixed_sequence",
    "is_drawn",
    "is_kept",
    "labels_needed",
    "labels_without_error",
    "percent",
    "plans",
    "policy_parameters",
    "reliability",
    "risk_coverage",
    "table_lines",
    "thresholds",
]
