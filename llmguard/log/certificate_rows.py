"""Certificates as rows of the log."""

from __future__ import annotations

from llmguard.certification.certificate import Certificate, StoredCertificate
from llmguard.core.canonical import Json, decode, encode
from llmguard.log.rows import Values, searchable


def issue_time(certificate: Certificate, at: float) -> float:
    """When it was issued, as it says, or else when it was saved (`at`): by this the newest is decided."""
    return at if certificate.issued_at is None else certificate.issued_at


def certificate_values(certificate: Certificate, at: float) -> Values:
    """In the order of `tables.CERTIFICATE`."""
    return (
        certificate.id,
        searchable(certificate.guard),
        searchable(certificate.fingerprint),
        encode(certificate.json()),
        issue_time(certificate, at),
        certificate.expires_at,
    )


def certificate_from_row(row: Json) -> StoredCertificate:
    return StoredCertificate(Certificate.from_json(decode(row.body)), row.suspended_at)
