"""`llmguard certify` on real logs: from audits to a certificate by which a guard accepts, and to the alarm that ends it."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llmguard import ReplayMismatch
from llmguard.certification import Certificate, CertificateRefusal, detect_drift
from llmguard.cli import app
from llmguard.core.canonical import Json, decode
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Outcome
from llmguard.engine.call import guarded_call
from llmguard.log import OutcomeLog
from llmguard.operations.certify import curve_of, draw_certificate, draw_drift, evidence_of
from llmguard.runtime.recorded import replay

ROOT = Path(__file__).parent.parent.parent

# A loan desk. Odd numbers are to be refused. Four in five are clear; of the others each sample is right in six of ten.
# `WRONG` is the share that the model has firmly wrong.
DESK = """
from hashlib import sha256
from llmguard import Guard, SelfConsistency, certified, check, escalate, judge
from llmguard.testing import ScriptedModel

WRONG = [0.0]

def share(text):
    return int(sha256(text.encode()).hexdigest()[:8], 16) / 16**8

def truth(number):
    return "refuse" if number % 2 else "approve"

def answer(request):
    number = int(request.messages[-1].content.split()[-1])
    if share(f"firm {number}") < WRONG[0]:
        right = False
    else:
        right = share(f"clear {number}") < 0.8 or share(f"said {number} {request.sample}") < 0.6
    return f'"{truth(number + (not right))}"'

def made(name="loan", **options):
    given = {
        "prompt": "Decide on loan {{ number }}",
        "schema": {"enum": ["approve", "refuse"]},
        "models": [ScriptedModel.by_request(answer)],
        "consistency": SelfConsistency(n_max=5),
        "fallback": [escalate()],
        "accept": certified(0.05),
        "audit": 1.0,
    }
    return Guard(name, **{**given, **options})

loan = made()
"""


class Desk:
    """The module of a loan desk in a folder of its own, and the log beside it."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.log: OutcomeLog = module.loan.log

    def clear(self, first: int, count: int) -> list[int]:
        """So many loans on which all samples agree."""
        return [number for number in range(first, first + 3 * count) if self.module.share(f"clear {number}") < 0.8][
            :count
        ]

    def work(self, numbers: Sequence[int], guard: Any = None, *, review: bool = True) -> list[Outcome[Json]]:
        """Decides on loans; what was drawn for audit is reviewed by the truth."""
        guard = guard or self.module.loan
        outcomes = [guard.run(number=number) for number in numbers]
        for number, outcome in zip(numbers, outcomes, strict=True):
            if review and outcome.review_reason == "audit":
                self.review(outcome, number)
        return outcomes

    def review(self, outcome: Outcome[Json], number: int) -> None:
        truth = self.module.truth(number)
        right = outcome.candidate == (truth,)
        self.log.review(outcome.id, "right" if right else "wrong", correction=truth, blind=True)

    def certificates(self) -> list[Certificate]:
        return [kept.certificate for kept in self.log.certificates("loan")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, in which modules are found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMGUARD_LOG", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def opened(folder: Path, source: str = DESK) -> Desk:
    (folder / "cli_desk.py").write_text(source)
    sys.modules.pop("cli_desk", None)
    importlib.invalidate_caches()
    return Desk(importlib.import_module("cli_desk"))


@pytest.fixture
def desk(folder: Path) -> Iterator[Desk]:
    """No call was made yet."""
    made = opened(folder)
    yield made
    made.log.close()


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which 300 calls were audited; made once."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("audited")
        patch.chdir(place)
        patch.setattr(sys, "path", [str(place), *sys.path])
        made = opened(place)
        made.work(range(300))
        made.log.close()
    return place / "llmguard.db"


@pytest.fixture
def ready(folder: Path, audited: Path) -> Iterator[Desk]:
    """300 audits are reviewed."""
    shutil.copy(audited, folder / "llmguard.db")
    made = opened(folder)
    yield made
    made.log.close()


@pytest.fixture
def certified(ready: Desk) -> Desk:
    """A certificate is in force."""
    printed(run("certify", "cli_desk:loan"))
    return ready


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def printed(result: Result, status: int = 0) -> str:
    """Standard output of a command that ended as it should; a traceback shows here."""
    assert (result.exit_code, result.stderr if result.exit_code == 2 and not status else "") == (status, "")
    return result.stdout


def refused(*arguments: str) -> str:
    """The one sentence of a misuse."""
    result = run("certify", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    return result.stderr


def as_json(*arguments: str, status: int = 0) -> Json:
    return decode(printed(run("certify", *arguments, "--json"), status))


# ------------------------------------------------------------------------------------------------- end to end


def test_a_guard_accepts_by_its_certificate_and_by_no_other(ready: Desk) -> None:
    """Without one the next rung answers; with one it accepts and names it; another word in the prompt voids it."""
    (before,) = ready.work(range(1000, 1001))
    assert (before.status, before.violations[0].rule) == ("escalated", "certified")
    assert before.violations[0].message.startswith("there is no certificate for this guard")

    said = printed(run("certify", "cli_desk:loan"))
    (certificate,) = ready.certificates()
    assert said.startswith("With 95 % confidence, at most 5 % of what plan")
    assert certificate.sentence() in said
    assert f"certificate {certificate.id} until" in said
    assert "stored; the guard may accept by it" in said

    after = ready.work(range(1000, 1040))
    assert {outcome.certificate for outcome in after} == {None, certificate.id}
    assert {outcome.status for outcome in after if outcome.certificate} == {"accepted"}
    assert {outcome.status for outcome in after if not outcome.certificate} == {"escalated"}

    reworded = ready.module.made(prompt="Decide about loan {{ number }}")
    (other,) = ready.work(range(1000, 1001), reworded)
    assert (other.status, other.certificate) == ("escalated", None)
    assert other.violations[0].message.startswith("the guard changed since it was certified")

    ready.log.suspend(certificate.id, time.time())
    (suspended,) = ready.work(range(1000, 1001))
    assert (suspended.status, suspended.certificate) == ("escalated", None)
    assert suspended.violations[0].message == f"certificate {certificate.id} does not hold: drift was found"


def test_an_expired_certificate_is_void(ready: Desk) -> None:
    """After its days it accepts nothing."""
    printed(run("certify", "cli_desk:loan", "--days", "0.000000001"))
    (outcome,) = ready.work(range(1000, 1001))
    assert (outcome.status, outcome.certificate) == ("escalated", None)
    assert outcome.violations[0].message.endswith("does not hold: it expired")


def test_a_certificate_is_valid_no_longer_than_the_guard_believes_in_it(ready: Desk) -> None:
    """`max_age_s` bounds what is issued, and what was issued for longer."""
    ready.module.short = ready.module.made(accept=ready.module.certified(0.05, max_age_s=3600))
    for days, valid_s in ((None, 3600.0), ("30", 3600.0), ("0.01", 864.0)):
        told = as_json("cli_desk:short", *(("--days", days) if days else ()))["certificate"]
        assert told["expires_at"] - told["issued_at"] == pytest.approx(valid_s)
    old = replace(ready.certificates()[0], issued_at=time.time() - 4000, expires_at=None)
    ready.module.alone = ready.module.made("alone", accept=ready.module.certified(0.05, max_age_s=3600))
    ready.log.save_certificate(replace(old, guard="alone"), time.time())
    assert ready.module.alone.policy.accept.lookup() == {
        "void": f"certificate {replace(old, guard='alone').id} does not hold: it is older than max_age_s"
    }


def test_the_numbers_are_those_of_the_pure_procedure(ready: Desk) -> None:
    """What is printed and stored is what `certify` finds in the audits, and the table shows every policy."""
    told = as_json("cli_desk:loan")
    found = evidence_of(ready.module.loan).certify()
    assert isinstance(found, Certificate)
    assert told["table"] == found.json()["table"]
    assert [row["policy"] for row in told["table"]] == ["plan (5, 1, 0)", "plan (4, 1, 0)", "plan (3, 2, 1)"]
    assert told["audited"] == {"drawn": 300, "undone": 0, "kept": 300, "left_out": 0, "reviewed": 300}
    assert told["certificate"] == {"id": ready.certificates()[0].id, **ready.certificates()[0].json()}
    assert (told["stored"], told["is_used"]) == (True, True)


def test_dry_run_stores_nothing(ready: Desk) -> None:
    """It says so, and the guard goes on as before."""
    assert "not stored (--dry-run)" in printed(run("certify", "cli_desk:loan", "--dry-run"))
    assert ready.certificates() == []


def test_a_refusal_says_what_would_help_and_stores_nothing(ready: Desk) -> None:
    """Exit status 1; how many labels are still needed; what is in force stays so."""
    said = printed(run("certify", "cli_desk:loan", "--alpha", "0.001"), 1)
    assert said.startswith("Nothing is certified at 0.1 % with 95 % confidence, so accept nothing automatically: ")
    assert "more audited outputs that plan" in said
    assert "--method anytime" in said
    assert ready.certificates() == []
    printed(run("certify", "cli_desk:loan"))
    again = printed(run("certify", "cli_desk:loan", "--alpha", "0.001"), 1)
    assert f"Certificate {ready.certificates()[0].id} is still in force; nothing was changed." in again


def test_a_guard_without_accept_is_certified_and_told_how_to_use_it(ready: Desk) -> None:
    """The family is the one that `accept=` would have, so that the certificate holds once it is given."""
    ready.module.plain = ready.module.made(accept=None)
    assert "give it accept=certified(0.05, 0.05)" in printed(run("certify", "cli_desk:plain", "--alpha", "0.05"))
    (outcome,) = ready.work(ready.clear(1000, 1))
    assert outcome.certificate == ready.certificates()[0].id


def test_a_weaker_certificate_than_is_promised_is_not_used(ready: Desk) -> None:
    """The guard promises 5 %; one for 10 % is stored, and void for it."""
    assert "which is more than this certificate says" in printed(run("certify", "cli_desk:loan", "--alpha", "0.1"))
    (outcome,) = ready.work(range(1000, 1001))
    assert (outcome.status, outcome.certificate) == ("escalated", None)


def test_another_log_is_used_for_certificates_too(certified: Desk, folder: Path) -> None:
    """`--log` moves the guard as a whole: calls, audits and certificates."""
    certified.log.close()  # what is in the write-ahead log goes into the file
    shutil.copy(folder / "llmguard.db", folder / "other.db")
    other = f"sqlite:///{folder / 'other.db'}"
    for certificate in certified.certificates():
        certified.log.suspend(certificate.id, time.time())
    outcome = decode(
        printed(
            run("run", "cli_desk:loan", "--input", f"number={certified.clear(1000, 1)[0]}", "--log", other, "--json")
        )
    )
    assert outcome["status"] == "accepted"
    printed(run("certify", "cli_desk:loan", "--watch", "--log", other))
    printed(run("certify", "cli_desk:loan", "--watch"), 1)


def test_anytime_needs_more_and_may_be_asked_again(ready: Desk) -> None:
    """The e-value is told in place of p."""
    told = as_json("cli_desk:loan", "--method", "anytime", "--alpha", "0.1")
    assert (told["method"], told["certified"]) == ("anytime", True)
    assert told["certificate"]["method"] == "anytime"
    row = next(row for row in told["table"] if row["policy"] == told["certificate"]["policy"])
    assert row["evidence"] >= 20


# ------------------------------------------------------------------------------------------------- which audits count


def test_unequal_probabilities_are_thinned(desk: Desk) -> None:
    """Audits of another share count, and are brought down to the least."""
    half = desk.module.made(audit=0.5)
    desk.work(range(60))
    desk.work(range(100, 200), half)
    told = as_json("cli_desk:loan", "--alpha", "0.3", "--dry-run")
    assert told["audited"]["drawn"] > told["audited"]["kept"] > 50
    said = printed(run("certify", "cli_desk:loan", "--alpha", "0.3", "--dry-run"))
    assert f"thinned  to {told['audited']['kept']}, because" in said


def test_audits_that_nobody_did_are_counted_and_void_the_whole(ready: Desk) -> None:
    """A few are wrong, too many refuse."""
    ready.work(range(300, 310), review=False)
    assert as_json("cli_desk:loan", "--dry-run", "--alpha", "0.1")["audited"]["undone"] == 10
    ready.work(range(310, 350), review=False)
    said = printed(run("certify", "cli_desk:loan"), 1)
    assert "50 of 350 outcomes drawn for audit were not reviewed" in said
    assert "Review what was drawn" in said
    assert "350 drawn, 300 reviewed, 50 not reviewed (count as wrong)" in said


def test_a_log_without_audits_is_refused_in_one_sentence(desk: Desk) -> None:
    """And says where audits come from."""
    said = printed(run("certify", "cli_desk:loan"), 1)
    assert "no outcome was drawn for audit" in said
    assert "Set audit= on the guard" in said
    assert "0 drawn, 0 reviewed" in said
    assert printed(run("certify", "cli_desk:loan", "--verbose"), 1)


def test_reviews_without_a_probability_never_enter(desk: Desk) -> None:
    """What somebody reviewed because it was escalated, or complained about, is left out and counted."""
    unaudited = desk.module.made(audit=0.0)
    outcomes = [unaudited.run(number=number) for number in range(20)]
    for number, outcome in enumerate(outcomes):
        desk.review(outcome, number)
    told = as_json("cli_desk:loan", status=1)
    assert told["audited"] == {"drawn": 0, "undone": 0, "kept": 0, "left_out": 20, "reviewed": 0}
    assert "20 reviews were not drawn at random with a logged probability" in told["sentence"]


def test_only_audits_since_then_count(ready: Desk) -> None:
    """`--since` narrows the audited period."""
    assert as_json("cli_desk:loan", "--since", "now", status=1)["audited"]["drawn"] == 0
    assert as_json("cli_desk:loan", "--since", "2h", "--dry-run")["audited"]["drawn"] == 300


# ------------------------------------------------------------------------------------------------- what is misuse

BROKEN_PLAN = DESK.replace("SelfConsistency(n_max=5)", "SelfConsistency(n_max=5, plan=(9, 2, 3))")
BROKEN_FAMILY = DESK.replace("certified(0.05)", "certified(0.05, plans=[(9, 1, 0)])")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--alpha", "2"], "--alpha: expected a share above 0 and below 1, got 2. Write 0.02"),
        (["--alpha", "0"], "--alpha: expected a share above 0 and below 1, got 0."),
        (["--alpha", "nan"], "--alpha: expected a share above 0 and below 1, got nan."),
        (["--delta", "1"], "--delta: expected a share above 0 and below 1, got 1. Write 0.05"),
        (["--delta", "-0.1"], "--delta: expected a share above 0 and below 1, got -0.1."),
        (["--alpha", "two"], "Invalid value for '--alpha'"),
        (
            ["--method", "bayes"],
            "--method: expected exact (one scheduled look) or anytime (as many as you like), got 'bayes'",
        ),
        (["--days", "0"], "--days: expected a number above 0, got 0."),
        (["--days", "inf"], "--days: expected a number above 0, got inf."),
        (["--since", "soon"], "time 'soon' is not understood"),
        (["--plot", "loan.jpg"], "a plot: expected a .png or .svg file, got 'loan.jpg'"),
        (["--plot", "nowhere/loan.png"], "the folder 'nowhere' of the plot does not exist"),
        (["--log", "sqlite:///missing.db"], "there is no log at sqlite:///missing.db"),
        (["--log", "elsewhere.db"], "elsewhere.db"),
        (["--follow"], "--follow goes with --watch"),
        (["--watch", "--alpha", "0.1"], "--alpha goes with a new certificate"),
        (["--watch", "--method", "exact"], "--method goes with a new certificate"),
        (["--watch", "--since", "2h"], "--since goes with a new certificate"),
    ],
)
def test_what_is_given_wrong_is_one_sentence(desk: Desk, arguments: list[str], sentence: str) -> None:
    """Exit status 2, nothing on standard output, no traceback."""
    assert sentence in refused("cli_desk:loan", *arguments)
    assert not Path("missing.db").exists()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (BROKEN_PLAN, "plan (9, 2, 3) can never accept a vote with 3 dissents within n_max=5"),
        (BROKEN_FAMILY, "plan (9, 1, 0) may need 9 samples, and the guard draws at most n_max=5"),
    ],
)
def test_a_plan_that_can_never_accept_is_one_sentence(folder: Path, source: str, sentence: str) -> None:
    """It is refused when the guard is built."""
    (folder / "cli_desk.py").write_text(source)
    sys.modules.pop("cli_desk", None)
    importlib.invalidate_caches()
    assert sentence in refused("cli_desk:loan")


def test_a_guard_that_nothing_can_be_promised_of_is_one_sentence(desk: Desk) -> None:
    """One sample and no score; two models; no alpha anywhere; nothing that accepts by a certificate."""
    module = desk.module
    module.single = module.made("single", consistency=None, accept=None)
    assert "the guard takes one sample" in refused("cli_desk:single", "--alpha", "0.05")
    module.twin = module.made("twin", models=[module.ScriptedModel(["1"]), module.ScriptedModel(["2"])], accept=None)
    assert "guard 'twin' has 2" in refused("cli_desk:twin", "--alpha", "0.05")
    module.plain = module.made("plain", accept=None)
    assert "expected the share that may be wrong, as in --alpha" in refused("cli_desk:plain")
    assert "there is nothing to watch" in refused("cli_desk:plain", "--watch")


def test_a_secret_in_a_prompt_does_not_hide_its_audits(desk: Desk) -> None:
    """The log keeps no secret, and a certificate names the guard as the log keeps it."""
    prompt = "Use api_key=sk-abcdefghijklmnopqrstuvwx1234567890abcd {{ number }}"
    module = desk.module
    module.secret = module.made("secret", prompt=prompt, audit=1.0)
    outcome = module.secret.run(number=1)
    desk.log.review(outcome.id, "right")
    assert len(desk.log.audited("secret", module.secret.policy.certified)) == 1


# ------------------------------------------------------------------------------------------------- scores and judges

SCORED = (
    DESK
    + """
def sureness(value, inputs):
    return 1 - share(f"clear {inputs['number']}")

scored = made("scored", consistency=None, accept=certified(0.2, score=sureness, thresholds=(0.6, 0.3, 0.1)))
unscored = made("scored", consistency=None, accept=None)
"""
)


def test_one_sample_is_certified_by_a_score_fixed_in_advance(folder: Path) -> None:
    """Accepted from the certified threshold on; audits from before the score was there are told apart."""
    desk = opened(folder, SCORED)
    desk.work(range(400, 420), desk.module.unscored)
    assert "None of the 20 audits has a score" in printed(run("certify", "cli_desk:scored"), 1)
    desk.work(range(250), desk.module.scored)
    told = as_json("cli_desk:scored")
    assert [row["policy"] for row in told["table"]] == ["score >= 0.6", "score >= 0.3", "score >= 0.1"]
    assert told["curve"]["score"] == "sureness()"
    assert told["curve"]["points"][-1]["coverage"] == pytest.approx(250 / 270)
    least = float(told["certificate"]["policy"].split()[-1])
    outcomes = desk.work(range(500, 560), desk.module.scored)
    assert {outcome.certificate for outcome in outcomes} == {None, told["certificate"]["id"]}
    assert all((outcome.score >= least) == (outcome.certificate is not None) for outcome in outcomes)
    desk.log.close()


JUDGED = (
    DESK
    + """
def verdict(request):
    said, number = request.messages[-1].content.split()[-2:]
    return "true" if said == truth(int(number) + (int(number) % 10 == 0)) else "false"

clerk = made("clerk", schema=bool, prompt="Right? {{ value }} {{ number }}", models=[ScriptedModel.by_request(verdict)],
             consistency=None, accept=None, audit=0.0)
judged = made("judged", checks=[judge(clerk, severity="flag")])
unheard = made("unheard", checks=[judge(clerk, severity="flag")])
"""
)


def test_a_judge_is_measured_against_people(folder: Path) -> None:
    """Cohen's kappa of each judge among the checks, with its count; or that no outcome has both."""
    desk = opened(folder, JUDGED)
    desk.work(range(100), desk.module.judged)
    told = as_json("cli_desk:judged", "--dry-run")["judges"]
    assert (told["clerk"]["count"], told["clerk"]["agreement"]) == (100, 0.9)
    said = printed(run("certify", "cli_desk:judged", "--dry-run"))
    assert "judge clerk  The judge agrees with people on 90% of 100 outcomes; Cohen's kappa is" in said
    assert "No outcome has both the judge's verdict and a person's." in printed(run("certify", "cli_desk:unheard"), 1)
    desk.log.close()


def test_figures_tell_samples_costs_and_labels(ready: Desk) -> None:
    """`--verbose` prints what machines always get."""
    figures = as_json("cli_desk:loan", "--dry-run")["figures"]
    assert figures["statuses"] == {"escalated": 300}
    assert list(figures["samples"]) == ["plan (5, 1, 0)", "plan (4, 1, 0)", "plan (3, 2, 1)"]
    assert 3 <= figures["samples"]["plan (3, 2, 1)"] < figures["samples"]["plan (5, 1, 0)"] <= 5
    assert list(figures["labels"]) == ["0.025", "0.05", "0.1"]
    assert figures["labels"]["0.05"] == 0
    said = printed(run("certify", "cli_desk:loan", "--verbose"))
    assert "calls      300 since the first audit: escalated 100%" in said
    assert "agreement  whole value 9" in said
    ready.work(range(1000, 1100))
    again = as_json("cli_desk:loan", "--dry-run")["figures"]
    assert again["requests_per_accepted"] == pytest.approx(400 * 5 / again["statuses"]["accepted"])
    assert again["usd_per_accepted"] is None


HOSTILE = (
    DESK
    + """
hostile = made("hostile", schema={"type": "object"}, models=[ScriptedModel(['{"\\\\u001b[2J\\\\u202e": 1}'], repeat=True)])
"""
)


def test_a_terminal_does_not_obey_what_a_model_named_its_fields(folder: Path) -> None:
    """Names of fields come from replies."""
    desk = opened(folder, HOSTILE)
    for _ in range(3):
        desk.log.review(desk.module.hostile.run(number=1).id, "right")
    said = printed(run("certify", "cli_desk:hostile", "--verbose"), 1)
    assert r"/\x1b[2J\u202e 100%" in said
    assert "\x1b" not in said
    desk.log.close()


# ------------------------------------------------------------------------------------------------- the watch


def test_the_watch_is_quiet_while_the_promise_holds(certified: Desk) -> None:
    """One sentence, exit status 0, nothing in the log; what waits for a review is told."""
    certified.work(certified.clear(1000, 50))
    certified.work(certified.clear(1100, 4), review=False)
    before = len(certified.log.find(limit=None))
    said = printed(run("certify", "cli_desk:loan", "--watch"))
    assert said == (
        "No drift in 50 audited accepted outputs, of which 0 were wrong.\n"
        "4 more were drawn for audit and wait for a review.\n"
    )
    assert len(certified.log.find(limit=None)) == before


def drifted(desk: Desk) -> None:
    """The model got a third of all loans firmly wrong."""
    desk.module.WRONG[0] = 0.34
    desk.work(range(2000, 2060))
    desk.module.WRONG[0] = 0.0


def test_an_alarm_suspends_the_certificate_and_is_an_outcome_of_its_own(certified: Desk) -> None:
    """Exit status 1; once. From then on nothing is accepted, and the audits before it prove nothing any more."""
    (certificate,) = certified.certificates()
    drifted(certified)
    looked = as_json("cli_desk:loan", "--watch", "--dry-run", status=1)
    assert (looked["alarm"], looked["outcome"]) == (True, None)
    assert certified.module.loan.policy.accept.lookup()["certificate"] == certificate.id

    said = printed(run("certify", "cli_desk:loan", "--watch", "--verbose"), 1)
    assert said.startswith("Drift: after ")
    assert said.splitlines()[-1].endswith("######################################## alarm")
    (row,) = certified.log.find(where="source=drift")
    assert (row.guard, row.status, row.meta, row.review_reason, row.rules) == (
        "loan",
        "escalated",
        {"certificate": certificate.id},
        "drift",
        ("drift",),
    )
    assert row.id in said
    assert certified.log.certificates("loan")[0].suspended_at is not None
    (outcome,) = certified.work(range(3001, 3002))
    assert (outcome.status, outcome.certificate) == ("escalated", None)

    again = printed(run("certify", "cli_desk:loan", "--watch"), 1)
    assert again == f"Nothing to watch: certificate {certificate.id} does not hold: drift was found.\n"
    assert len(certified.log.find(where="source=drift")) == 1
    refusal = as_json("cli_desk:loan", status=1)
    assert (refusal["after_drift"], refusal["audited"]["drawn"]) == (True, 1)


def test_nothing_chokes_on_an_alarm_in_the_log(certified: Desk) -> None:
    """It has no steps: lists, sums and the record show it, and a replay says in one sentence what is missing."""
    drifted(certified)
    told = as_json("cli_desk:loan", "--watch", status=1)
    assert "drift" in printed(run("log", "list", "-n", "1"))
    assert "The certificate is suspended." in printed(run("log", "show", told["outcome"]))
    assert "loan  361 calls" in printed(run("log", "stats"))
    record = certified.log.get(told["outcome"])
    assert record is not None
    assert record.steps == ()
    with pytest.raises(ReplayMismatch, match=r"none at this address|the record ends here"):
        replay(guarded_call(certified.module.loan.policy, record.opening.inputs), record.steps)
    assert certified.module.loan.resume(told["outcome"]).source == "drift"


def test_an_alarm_is_no_case(certified: Desk, folder: Path) -> None:
    """There is no call to replay, whatever is said to be expected; in bulk it is left out, and told."""
    drifted(certified)
    alarm = as_json("cli_desk:loan", "--watch", status=1)["outcome"]
    said = f"{alarm!r} is a drift alarm, not a call: nothing was asked, so there is nothing to replay."
    for expect in ((), ("--expect", "accepted")):
        refusal = run("promote", alarm, *expect)
        assert (refusal.exit_code, refusal.stdout) == (2, "")
        assert said in refusal.stderr
    bulk = run("promote", "--guard", "loan")
    assert bulk.exit_code == 0
    assert f"left out: {alarm}: {said}" in bulk.stderr
    assert bulk.stdout
    assert alarm not in "".join(path.read_text() for path in folder.rglob("tests/cases/*/*.json"))


def test_unsure_and_wrong_alarm_alike_and_what_others_accepted_does_not(certified: Desk) -> None:
    """Only reviews of what this very certificate accepted count."""
    (certificate,) = certified.certificates()
    for outcome in certified.work(range(1000, 1040), review=False):
        if outcome.status != "accepted":
            certified.log.review(outcome.id, "wrong")
    quiet = as_json("cli_desk:loan", "--watch")
    assert (quiet["drift"]["items"], quiet["certificate"]) == (0, certificate.id)
    for row in certified.log.find(guard="loan", status="accepted"):
        certified.log.review(row.id, "unsure")
    assert as_json("cli_desk:loan", "--watch", status=1)["drift"]["wrong"] >= 3


def test_watching_where_nothing_is_in_force(desk: Desk) -> None:
    """Exit status 1: nothing is accepted automatically, and why."""
    said = printed(run("certify", "cli_desk:loan", "--watch"), 1)
    assert said.startswith("Nothing to watch: there is no certificate for this guard")


@pytest.mark.slow
def test_the_watch_follows_until_the_alarm(certified: Desk, folder: Path) -> None:
    """Another process sees reviews as they come, suspends, and ends with status 1."""
    certified.work(range(1000, 1010))
    command = [sys.executable, "-m", "llmguard", "certify", "cli_desk:loan", "--watch", "--follow"]
    with subprocess.Popen(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as ended:
        assert ended.stdout is not None
        assert ended.stdout.readline().startswith("No drift in ")
        drifted(certified)
        lines = ended.stdout.read()
        assert ended.wait(timeout=60) == 1
    assert "Drift: after " in lines
    assert len(certified.log.find(where="source=drift")) == 1


# ------------------------------------------------------------------------------------------------- pictures


def test_without_matplotlib_the_mend_is_named_and_the_text_is_there(ready: Desk, folder: Path) -> None:
    """The command that installs it; and bars in the terminal, with or without."""
    assert "risk over coverage, by agreement of all samples\n  score  accepted" in printed(
        run("certify", "cli_desk:loan", "--dry-run")
    )
    program = "import sys; sys.modules['matplotlib'] = None; from llmguard.cli import main; main()"
    command = [sys.executable, "-c", program, "certify", "cli_desk:loan", "--plot", "loan.png"]
    ended = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "pip install 'llmguard-framework[plots]'" in ended.stderr
    assert ready.certificates() == []


def test_pictures_are_drawn_as_png_and_svg(certified: Desk, folder: Path) -> None:
    """Of a certificate, a refusal and the drift curve; the same data make the same SVG."""
    pytest.importorskip("matplotlib")
    printed(run("certify", "cli_desk:loan", "--plot", "loan.png"))
    assert (folder / "loan.png").read_bytes().startswith(b"\x89PNG")
    printed(run("certify", "cli_desk:loan", "--plot", "refused.svg", "--alpha", "0.001"), 1)
    assert (
        "Nothing is certified" in (folder / "refused.svg").read_text()
        or "nothing is certified" in (folder / "refused.svg").read_text()
    )
    drifted(certified)
    printed(run("certify", "cli_desk:loan", "--watch", "--plot", "drift.svg"), 1)
    assert "evidence for drift" in (folder / "drift.svg").read_text()
    evidence = evidence_of(certified.module.loan, alpha=0.5)
    found = evidence.certify()
    for name in ("one.svg", "two.svg"):
        draw_certificate(folder / name, found, curve_of(evidence), "loan")
    one = (folder / "one.svg").read_bytes()
    assert one == (folder / "two.svg").read_bytes()
    assert b"coverage: share of calls" in one


def test_a_picture_of_nothing_is_drawn_too(desk: Desk, folder: Path) -> None:
    """No audit, no point, no alarm."""
    pytest.importorskip("matplotlib")
    evidence = evidence_of(desk.module.loan)
    found = evidence.certify()
    assert isinstance(found, CertificateRefusal)
    draw_certificate(folder / "none.png", found, curve_of(evidence))
    certificate = Certificate(
        alpha=0.05, delta=0.05, method="exact", policy="plan", table=(), audited=found.audited, fingerprint="f"
    )
    draw_drift(folder / "quiet.png", detect_drift([], 0.05, 0.05), certificate)
    (folder / "taken.png").mkdir()
    with pytest.raises(UsageError, match=r"the plot '.*taken\.png' cannot be written"):
        draw_drift(folder / "taken.png", detect_drift([], 0.05, 0.05), certificate)
