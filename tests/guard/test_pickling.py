"""A guard and its exceptions in another process."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from llmguard import Guard, GuardRejected, ReplayMismatch, UsageError, guarded
from llmguard.testing import ScriptedModel

MODULE = """
from llmguard import Guard, guarded
from llmguard.testing import ScriptedModel

age = Guard("age", prompt="{{ who }}", schema=int, models=[ScriptedModel(["36"], repeat=True)], log=None)

@guarded(schema=int, log=None)
def count(text: str) -> str:
    return str(len(text))

strict = Guard("strict", prompt="x", schema=int, models=[ScriptedModel(["no"], repeat=True)], reasks=0, log=None)

def value_of(guard, **inputs):
    return guard(**inputs)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A module of a user's that other processes can import."""
    (tmp_path / "pickled_shop.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield __import__("pickled_shop")
    sys.modules.pop("pickled_shop", None)


def test_a_guard_of_a_module_comes_back_as_the_same(shop: object) -> None:
    """Only its name crosses, so here it is the very same object; the guard of a decorated function, too."""
    assert pickle.loads(pickle.dumps(shop.age)) is shop.age
    assert pickle.loads(pickle.dumps(shop.count.guard)) is shop.count.guard
    assert copy.deepcopy(shop.age) is shop.age


def test_a_guard_answers_in_a_process_pool(shop: object) -> None:
    """And what it raises there arrives here with its outcome."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(shop.value_of, shop.age, who="Ada").result(timeout=60) == 36
        with pytest.raises(GuardRejected) as raised:
            pool.submit(shop.value_of, shop.strict).result(timeout=60)
    assert (raised.value.outcome.status, raised.value.outcome.guard) == ("rejected", "strict")
    assert str(raised.value) == raised.value.outcome.explain()


def test_a_guard_without_a_name_to_import_says_so() -> None:
    """When it is pickled, with the mend."""
    local = Guard("local", prompt="x", schema=int, models=[ScriptedModel(["1"])], log=None)
    with pytest.raises(UsageError, match=r"guard 'local' cannot be pickled: .* Assign it at the top of a module"):
        pickle.dumps(local)


def test_a_guard_whose_module_is_not_there_says_so(shop: object) -> None:
    """The other process gets one sentence, and no traceback from pickle."""
    pickled = pickle.dumps(shop.age)
    del shop.age
    with pytest.raises(
        UsageError, match=r"the guard at 'pickled_shop:age' cannot be imported: .*has no attribute 'age'"
    ):
        pickle.loads(pickled)
    shop.age = 1
    with pytest.raises(UsageError, match="of type int, expected a Guard"):
        pickle.loads(pickled)


@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_exceptions_keep_what_they_carry(again) -> None:  # type: ignore[no-untyped-def]
    """Pickled or copied: the outcome of a rejected call, the two sides of a mismatch."""
    with pytest.raises(GuardRejected) as raised:
        Guard("g", prompt="x", schema=int, models=[ScriptedModel(["no"])], reasks=0, log=None)()
    back = again(raised.value)
    assert (type(back), back.outcome.status, str(back)) == (GuardRejected, "rejected", str(raised.value))
    mismatch = again(ReplayMismatch("r0", expected="a", actual="b"))
    assert (mismatch.address, mismatch.expected, mismatch.actual) == ("r0", "a", "b")
    assert str(again(UsageError("found x"))) == "found x"


def test_a_decorated_function_is_not_shadowed_by_its_guard() -> None:
    """A guard under @guarded in a local scope has no name, either."""

    @guarded(schema=int, log=None)
    def local(text: str) -> str:
        return "1"

    with pytest.raises(UsageError, match="guard 'local' cannot be pickled"):
        pickle.dumps(local.guard)
