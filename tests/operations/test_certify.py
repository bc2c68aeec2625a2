"""Calls under a certificate, with a real log: what is handed out, and what enters the next certificate."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from llmguard import Guard, SelfConsistency, certified, check, constant, judge
from llmguard.certification import Audited, Certificate
from llmguard.certification import Tested as Row
from llmguard.core.canonical import Json
from llmguard.core.messages import ModelRequest
from llmguard.log import OutcomeLog
from llmguard.models.function import FunctionModel
from llmguard.operations.certify import certify_guard, follow_drift, monitor_drift
from llmguard.runtime.recorded import replay_exactly
from llmguard.testing import ScriptedModel


@pytest.fixture
def log(tmp_path: Path):
    opened = OutcomeLog.open(f"sqlite:///{tmp_path / 'log.db'}")
    yield opened
    opened.close()


def guard_that_says(log: OutcomeLog, *replies: str, **options) -> Guard:
    """A guard that takes one sample after the other, and is interrupted where the replies end."""
    left = list(replies)

    def model(request: ModelRequest) -> str:
        if not left:
            raise KeyboardInterrupt
        return left.pop(0)

    asked = FunctionModel(model)
    asked.max_parallel = 1
    options = {"consistency": SelfConsistency(), "accept": certified(0.05), "audit": 0.0, **options}
    return Guard("g", prompt="p {{ x }}", schema=str, models=[asked], log=log, **options)


def certificate_for(guard: Guard, alpha: float = 0.05, issued_at: float | None = None) -> Certificate:
    """Of the guard's loosest plan."""
    policy = str(guard.policy.accept.plans[-1])
    row = Row(policy=policy, accepted=300, wrong=0, coverage=0.9, evidence=0.001, bound=0.01, result="certified")
    made = Certificate(
        alpha=alpha,
        delta=0.05,
        method="exact",
        policy=policy,
        table=(row,),
        audited=Audited(drawn=300, undone=0, kept=300, left_out=0),
        guard=guard.name,
        fingerprint=guard.policy.accept.certificate_key(guard.policy.certified),
        issued_at=time.time() if issued_at is None else issued_at,
    )
    guard.log.save_certificate(made, time.time())
    return made


def interrupted_call(guard: Guard) -> str:
    with pytest.raises(KeyboardInterrupt):
        guard.run(x=1)
    guard.log.flush()
    return guard.log.find()[0].id


def yes(*replies: str) -> Guard:
    return Guard(
        "yes", prompt="Is {{ value }} right?", schema=bool, models=[ScriptedModel(replies or ["true"])], log=None
    )


# ------------------------------------------------------------------------------------------------- what is certified


def strict(value: Json) -> str:
    return "right" if value is True else "wrong"


def trusting(value: Json) -> str:
    return "right"


def test_another_reading_of_a_judge_is_another_check() -> None:
    """Its question and how its answer is read decide, so a certificate of the one does not hold for the other."""
    checks = [
        judge(yes()),
        judge(yes(), verdict=strict),
        judge(yes(), verdict=trusting),
        judge(yes(), inputs=lambda value, inputs: {"value": 1}),
    ]
    assert len({check.version for check in checks}) == 4
    assert judge(yes(), verdict=strict).version == judge(yes(), verdict=strict).version


@check
def says_nothing(value: Json, inputs: Json) -> None:
    return None


# ------------------------------------------------------------------------------------------------- resumed calls


def test_a_resumed_call_goes_by_the_certificate_that_holds_still(log: OutcomeLog) -> None:
    """What it began under is in its record; what is handed out must be covered when it is handed out."""
    guard = guard_that_says(log, '"a"')
    certificate = certificate_for(guard)
    outcome = guard_that_says(log, '"a"', '"a"').resume(interrupted_call(guard))
    assert (outcome.status, outcome.certificate) == ("accepted", certificate.id)


def test_a_certificate_that_was_suspended_meanwhile_covers_no_resumed_call(log: OutcomeLog) -> None:
    """The lookup in its record is of another day."""
    guard = guard_that_says(log, '"a"')
    certificate = certificate_for(guard)
    call_id = interrupted_call(guard)
    log.suspend(certificate.id, time.time())
    outcome = guard_that_says(log, '"a"', '"a"').resume(call_id)
    assert (outcome.status, outcome.certificate, outcome.candidate) == ("rejected", None, ("a",))
    assert "drift was found" in outcome.violations[0].message


def test_a_call_that_died_in_its_audit_is_looked_up_again(log: OutcomeLog) -> None:
    """The value was decided, and not handed out: days later it is covered by what holds then."""
    guard = guard_that_says(log, *['"a"'] * 4, audit=1.0)
    certificate = certificate_for(guard)
    call_id = interrupted_call(guard)
    assert "r0/certificate/still" in [step.address for step in log.get(call_id).steps]
    log.suspend(certificate.id, time.time())
    outcome = guard_that_says(log, '"a"', audit=1.0).resume(call_id)
    assert (outcome.status, outcome.certificate, outcome.candidate) == ("rejected", None, ("a",))
    assert replay_exactly(guard.policy, log.get(call_id)).status == "rejected", "the record has the later lookup"


@pytest.mark.parametrize(("older", "status"), [(0.01, "rejected"), (0.04, "accepted")])
def test_drift_under_one_certificate_voids_older_ones_that_promise_more(
    log: OutcomeLog, older: float, status: str
) -> None:
    """More than 2 % are wrong, so more than 1 % are; whether more than 4 % are is not known."""
    certificate_for(guard_that_says(log), older, issued_at=1.0)
    log.suspend(certificate_for(guard_that_says(log), 0.02, issued_at=2.0).id, 3.0)
    guard = guard_that_says(log, *['"a"'] * 3, accept=certified(older))
    if older > 0.02:
        certificate_for(guard, older, issued_at=2.5)
    assert guard.run(x=1).status == status


def test_a_changed_guard_does_not_finish_a_call_under_the_certificate_of_the_old_one(log: OutcomeLog) -> None:
    """A further check asks the model nothing else, so the record fits; the certificate does not."""
    guard = guard_that_says(log, '"a"')
    certificate_for(guard)
    call_id = interrupted_call(guard)
    outcome = guard_that_says(log, '"a"', '"a"', checks=[says_nothing]).resume(call_id)
    assert (outcome.status, outcome.certificate) == ("rejected", None)
    assert "changed since it was certified" in outcome.violations[0].message


def test_a_call_that_another_guard_finished_is_no_audit_of_either(log: OutcomeLog) -> None:
    """It was begun by the one and decided by the other."""
    options = {"accept": None, "audit": 1.0}
    guard = guard_that_says(log, '"a"', **options)
    call_id = interrupted_call(guard)
    changed = guard_that_says(log, *['"a"'] * 4, checks=[says_nothing], **options)
    assert changed.resume(call_id).review_reason == "audit"
    assert log.audited("g", guard.policy.certified) == log.audited("g", changed.policy.certified) == []


# ------------------------------------------------------------------------------------------------- judges


@pytest.mark.parametrize(("budget", "status"), [(1, "fallback"), (2, "rejected")])
def test_a_constant_is_handed_out_though_no_budget_is_left_for_a_judge(budget: int, status: str) -> None:
    """It is skipped and told, as an effect check that comes too late; a judge that was asked and objects still refuses."""
    guard = Guard(
        "g",
        prompt="p {{ x }}",
        schema=int,
        models=[ScriptedModel(["no number"])],
        reasks=0,
        checks=[judge(yes("false"))],
        budget_requests=budget,
        fallback=[constant(7)],
        log=None,
    )
    outcome = guard.run(x=1)
    assert outcome.status == status
    assert outcome.skipped_checks == (("yes",) if status == "fallback" else ())
    assert [flag.rule for flag in outcome.flags] == list(outcome.skipped_checks)


def spoils(value: Json, inputs: Json) -> float:
    value["n"] = "spoilt"
    return 1.0


@pytest.mark.parametrize(
    "options",
    [
        {"checks": [check(effect=True)(lambda value, inputs: None if spoils(value, inputs) else "")]},
        {"checks": [judge(yes("true"), inputs=lambda value, inputs: {"value": spoils(value, inputs)})]},
        {"accept": certified(0.05, thresholds=(0.9,), score=spoils)},
    ],
)
def test_what_was_validated_is_handed_out_whatever_the_users_code_does_to_it(
    log: OutcomeLog, options: dict[str, object]
) -> None:
    """Effect checks, judges and scores are asked after the last validation."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    guard = Guard(
        "g", prompt="p {{ x }}", schema=schema, models=[ScriptedModel(['{"n": 1}'])], log=log, audit=0, **options
    )
    outcome = guard.run(x=1)
    assert outcome.candidate == ({"n": 1},)
    assert outcome.status == ("rejected" if "accept" in options else "accepted")


# ------------------------------------------------------------------------------------------------- the operations


def reviewed_guard(log: OutcomeLog, verdict: str = "right") -> Guard:
    """60 calls of which each is audited and reviewed."""
    guard = guard_that_says(log, *["a"] * 600, audit=1.0)
    for number in range(60):
        log.review(guard.run(x=number).id, verdict, blind=True)
    return guard


def test_certifying_stores_and_reports(log: OutcomeLog) -> None:
    """The report's JSON has the certificate that a call then accepts by; not storing changes nothing."""
    guard = reviewed_guard(log)
    looked = certify_guard(guard, store=False)
    assert (looked.is_certified, looked.stored, list(log.certificates("g"))) == (True, False, [])
    report = certify_guard(guard, days=1)
    (stored,) = log.certificates("g")
    printed = report.to_json()
    assert (printed["certificate"]["id"], printed["stored"], printed["is_used"]) == (stored.certificate.id, True, True)
    assert stored.certificate.expires_at - stored.certificate.issued_at == 86_400
    assert (printed["refusal"], report.helps) == (None, ())
    assert guard.run(x=61).certificate == stored.certificate.id


def test_a_refusal_says_what_would_help_and_what_is_still_in_force(log: OutcomeLog) -> None:
    """Nothing is stored; the certificate before it stays."""
    guard = reviewed_guard(log)
    certificate = certify_guard(guard).result
    refusal = certify_guard(guard, alpha=0.001)
    printed = refusal.to_json()
    assert (printed["certified"], printed["stored"], printed["certificate"]) == (False, False, None)
    assert printed["refusal"]["helps"][-1] == f"Certificate {certificate.id} is still in force; nothing was changed."


def test_the_monitor_suspends_once_and_only_where_it_may(log: OutcomeLog) -> None:
    """Drift is in the report and in the log; a look without suspending changes nothing."""
    guard = reviewed_guard(log)
    certificate = certify_guard(guard).result
    for number in range(100, 110):
        log.review(guard.run(x=number).id, "wrong", blind=True)
    looked = monitor_drift(guard, suspend=False)
    assert (looked.is_drift, looked.holds, looked.outcome_id) == (True, False, None)
    (report,) = follow_drift(guard)
    assert report.to_json()["certificate"] == certificate.id
    assert log.get(report.outcome_id).outcome.source == "drift"
    after = monitor_drift(guard)
    assert (after.certificate, after.reason) == (None, f"certificate {certificate.id} does not hold: drift was found")


def test_following_reports_changes_only(log: OutcomeLog) -> None:
    """Between two looks nothing happens, then a review comes, then drift."""
    guard = reviewed_guard(log)
    certify_guard(guard)
    waits = iter([[], ["right"], ["wrong"] * 10])

    def sleep(_: float) -> None:
        for verdict in next(waits):
            log.review(guard.run(x="new").id, verdict, blind=True)

    reports = list(follow_drift(guard, sleep=sleep))
    assert [(each.drift.items, each.holds) for each in reports] == [(0, True), (1, True), (11, False)]
