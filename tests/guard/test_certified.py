"""A guard that accepts by certificate, end to end: from the first audit to the acceptance, and to the change that voids it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from examples.certified import SENTENCES, TRUTH, live_model, recorded_model, run
from llmguard import OutcomeLog
from llmguard.models.local import LocalModelUnavailable


def test_two_hundred_items_of_a_real_model_are_certified_and_accepted_by_it(tmp_path: Path) -> None:
    """The recorded samples of the real model: nothing is accepted without the certificate, and under it less is wrong than
    it allows."""
    log = OutcomeLog.open(f"sqlite:///{tmp_path / 'log.db'}")
    counts = run(recorded_model(), log)
    assert counts["escalated without"] == len(TRUTH) == 200
    accepted = counts["right"] + counts["wrong"]
    assert accepted + counts["escalated"] == 200
    assert accepted > 80
    assert counts["wrong"] <= 0.1 * accepted
    assert counts["escalated after a change"] == 1


def test_a_smaller_promise_than_the_reviews_allow_is_refused(tmp_path: Path) -> None:
    """At most one in two hundred wrong cannot be shown by two hundred reviews, so nothing is accepted."""
    log = OutcomeLog.open(f"sqlite:///{tmp_path / 'log.db'}")
    counts = run(recorded_model(), log, alpha=0.005)
    assert set(counts) == {"escalated without"}


@pytest.mark.real_model
@pytest.mark.loopback
@pytest.mark.slow
def test_the_model_itself_is_certified_or_refused(tmp_path: Path) -> None:
    """Issued: it accepts. Refused: it accepts nothing. Either way nothing was accepted before."""
    log = OutcomeLog.open(f"sqlite:///{tmp_path / 'log.db'}")
    step = 2 * sum(map(len, SENTENCES.values())) + 1
    some = dict(islice(TRUTH.items(), 0, None, step))
    try:
        with live_model() as model:
            counts = run(model, log, some, alpha=0.5)
    except LocalModelUnavailable as missing:
        pytest.skip(str(missing))
    assert counts["escalated without"] == len(some)
    if log.certificates("sentiment"):
        assert counts["right"] + counts["wrong"] > 0
        assert counts["escalated after a change"] == 1
    else:
        assert set(counts) == {"escalated without"}
