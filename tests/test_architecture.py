"""The layers and the forbidden constructs of the design, read from the source by `ast` and held.

The table stands in `tests/layers.py`: a module imports from lower numbers, or from its own number without a cycle. Each
rule is a function from a module's source to sentences, and is itself tried on a source that breaks it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.layers import LAST_PURE_LAYER, LAYERS

PACKAGE = "llmguard"
ROOT = Path(__file__).parent.parent

LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names}

# The world: what waits, draws, reads a clock, a file, a socket or a process, and the libraries that do.
IMPURE = (
    "asyncio threading time random os socket sqlite3 logging"
    " concurrent _thread http multiprocessing pathlib queue secrets select selectors shutil signal ssl"
    " subprocess tempfile urllib uuid"
    " openai sqlalchemy alembic httpx httpx2 requests"
)
CLOCK_READERS = frozenset({"now", "utcnow", "today"})

THREAD_POOLS = frozenset({"ThreadPoolExecutor", "to_thread", "run_in_executor"})
CATCHERS_OF_ALL = ("runtime", "log")
ENCODERS = frozenset({"dumps", "dump", "JSONEncoder"})
PYDANTIC_ENCODERS = frozenset({"model_dump_json", "dump_json"})
JSON_LIBRARIES = frozenset({"json", "orjson", "simplejson", "ujson"})

# What `import llmguard` must not load: each costs more CPU than all of llmguard.
HEAVY = (
    "openai pydantic jsonschema jsonschema_rs sqlalchemy alembic jinja2 tiktoken genai_prices rich typer httpx httpx2"
    " yaml"
)


@dataclass(frozen=True)
class Module:
    """One source file of the package, by its dotted name (`llmguard.models.local`)."""

    name: str
    source: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree: walked once, for all rules."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(imports(self))

    @property
    def part(self) -> str:
        """The name in the table: `models` for `llmguard.models.local`."""
        return self.name.split(".")[1] if "." in self.name else "__init__"

    @property
    def layer(self) -> int:
        return LAYER_OF[self.part]

    @property
    def is_pure(self) -> bool:
        return self.layer <= LAST_PURE_LAYER

    def at(self, node: ast.AST) -> str:
        return f"{self.name}:{getattr(node, 'lineno', 0)}"


@dataclass(frozen=True)
class Import:
    """One imported name in full: `llmguard.core.effects.Call` for `from llmguard.core.effects import Call`."""

    name: str
    node: ast.stmt

    @property
    def top(self) -> str:
        return self.name.split(".")[0]


def imports(module: Module) -> Iterator[Import]:
    """All imports of a module, wherever they stand; relative ones made absolute."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            yield from (Import(f"{base}.{alias.name}", node) for alias in node.names)


def absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    above = node.level - module.is_package
    parents = module.name.split(".")
    parents = parents[: len(parents) - above]
    return ".".join([*parents, *([node.module] if node.module else [])])


def own_imports(module: Module) -> Iterator[tuple[Import, str]]:
    """The imports from the package itself, each with its name in the table."""
    for found in module.imports:
        if found.top == PACKAGE:
            parts = found.name.split(".")
            yield found, parts[1] if len(parts) > 1 and parts[1] in LAYER_OF else "__init__"


def calls(module: Module) -> Iterator[ast.Call]:
    return (node for node in module.nodes if isinstance(node, ast.Call))


def named(node: ast.expr) -> str:
    """The last part of a name: `timeout` for `asyncio.timeout`, empty where it is neither name nor attribute."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def is_name(node: ast.Attribute, *names: str) -> bool:
    """Whether this is one of these dotted names. The last part is compared first: unparsing each attribute takes time."""
    return any(node.attr == name.rpartition(".")[2] for name in names) and ast.unparse(node) in names


def has(body: Iterable[ast.AST], kind: type[ast.AST]) -> bool:
    """Whether something of this kind runs as a part of a block."""
    return any(isinstance(node, kind) for node in walk_own(body))


def walk_own(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Every node from these down that runs as a part of them: not what stands in a function defined there."""
    for node in nodes:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from walk_own(ast.iter_child_nodes(node))


# --- the rules


def unlisted(module: Module) -> Iterator[str]:
    if module.part not in LAYER_OF:
        yield f"{module.name} belongs to no layer. Put {module.part!r} into LAYERS of tests/test_architecture.py."


def upward(module: Module) -> Iterator[str]:
    for found, part in own_imports(module):
        if LAYER_OF[part] > module.layer:
            yield (
                f"{module.at(found.node)} (layer {module.layer}) imports {found.name} (layer {LAYER_OF[part]}). A"
                " module imports only from layers above it in the design's table; move the code, or hand the value in."
            )


def impure(module: Module) -> Iterator[str]:
    if module.is_pure:
        for found in module.imports:
            if found.top in IMPURE.split():
                yield f"{module.at(found.node)} imports {found.name}: layers 0 to 5 are pure. The world is in layer 6."


def reads_clock_or_file(module: Module) -> Iterator[str]:
    if module.is_pure:
        for call in calls(module):
            if isinstance(call.func, ast.Attribute) and call.func.attr in CLOCK_READERS:
                yield f"{module.at(call)} reads a clock: layers 0 to 5 are given the time as a value."
            if isinstance(call.func, ast.Name) and call.func.id == "open":
                yield f"{module.at(call)} opens a file: files are read in guard, the layers below take text."


def late_own_import(module: Module) -> Iterator[str]:
    for_types = [node for node in module.tree.body if isinstance(node, ast.If) and named(node.test) == "TYPE_CHECKING"]
    top = {*module.tree.body, *(statement for block in for_types for statement in block.body)}
    for found, _ in own_imports(module):
        if found.node not in top:
            yield f"{module.at(found.node)} imports {found.name} inside a block: own imports stand at the top."


def throws_into_generator(module: Module) -> Iterator[str]:
    for call in calls(module):
        if isinstance(call.func, ast.Attribute) and call.func.attr in {"throw", "athrow"}:
            yield f"{module.at(call)} throws into a generator: nothing is thrown into a flow, trouble is an answer."


def thread_pool(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, ast.Name | ast.Attribute) and named(node) in THREAD_POOLS:
            yield f"{module.at(node)} uses {named(node)}: it hangs interpreter exit; use runtime.threads."
    for found in module.imports:
        if found.name.split(".")[-1] in THREAD_POOLS:
            yield f"{module.at(found.node)} imports {found.name}: it hangs interpreter exit; use runtime.threads."


def cancel_scope(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and is_name(node, "asyncio.timeout", "asyncio.timeout_at"):
            yield f"{module.at(node)} uses {ast.unparse(node)}: a passed deadline is an answer, not a cancellation."
        if isinstance(node, ast.AsyncWith) and opens_task_group(node) and has(node.body, ast.Yield):
            yield f"{module.at(node)} yields inside a TaskGroup: its cancellation would hit whoever iterates."
    for found in module.imports:
        if found.name in {"asyncio.timeout", "asyncio.timeout_at"}:
            yield f"{module.at(found.node)} imports {found.name}: a passed deadline is an answer, not a cancellation."


def opens_task_group(node: ast.AsyncWith) -> bool:
    opened = [item.context_expr for item in node.items]
    return any(isinstance(expression, ast.Call) and named(expression.func) == "TaskGroup" for expression in opened)


def swallows_all(module: Module) -> Iterator[str]:
    if module.part in CATCHERS_OF_ALL:
        return
    for node in module.nodes:
        if isinstance(node, ast.ExceptHandler) and catches_all(node.type) and not has(node.body, ast.Raise):
            yield f"{module.at(node)} catches BaseException without raising: Ctrl-C and cancellation must pass."
        if isinstance(node, ast.Call) and named(node.func) == "suppress" and any(map(catches_all, node.args)):
            yield f"{module.at(node)} suppresses BaseException: Ctrl-C and cancellation must pass."


def catches_all(expression: ast.expr | None) -> bool:
    if isinstance(expression, ast.Tuple):
        return any(catches_all(element) for element in expression.elts)
    return expression is None or named(expression) == "BaseException"


def encodes(module: Module) -> Iterator[str]:
    aliases = json_aliases(module)
    mend = (
        "a user's or a model's value is encoded only by llmguard.core.canonical, so that nothing is changed silently."
    )
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and node.attr in ENCODERS and named(node.value) in aliases:
            yield f"{module.at(node)} uses {ast.unparse(node)}: {mend}"
        if isinstance(node, ast.Attribute) and node.attr in PYDANTIC_ENCODERS:
            yield f"{module.at(node)} uses {node.attr}: {mend}"
        if isinstance(node, ast.Attribute) and is_name(node, "pydantic_core.to_json"):
            yield f"{module.at(node)} uses {ast.unparse(node)}: {mend}"
    for found in module.imports:
        if found.name == "pydantic_core.to_json" or (
            found.top in JSON_LIBRARIES and found.name.split(".")[-1] in ENCODERS
        ):
            yield f"{module.at(found.node)} imports {found.name}: {mend}"


def json_aliases(module: Module) -> set[str]:
    """The names under which this module knows a JSON library (`import json as j`)."""
    nodes = [node for node in module.nodes if isinstance(node, ast.Import)]
    return {alias.asname or alias.name for node in nodes for alias in node.names if alias.name in JSON_LIBRARIES}


def waits_in_adapter(module: Module) -> Iterator[str]:
    if module.part == "models":
        for call in calls(module):
            if named(call.func) == "sleep":
                yield f"{module.at(call)} sleeps in an adapter: waits are the flow's, performed by the driver."


Rule = Callable[[Module], Iterator[str]]
RULES: tuple[Rule, ...] = (
    upward,
    impure,
    reads_clock_or_file,
    late_own_import,
    throws_into_generator,
    thread_pool,
    cancel_scope,
    swallows_all,
    encodes,
    waits_in_adapter,
)

# (rule, module): why this module may. An exception that is no longer needed fails the test as well.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("encodes", "llmguard.core.canonical"): "it is the one encoder",
}


def cycles(modules: list[Module]) -> str | None:
    """One cycle among the modules, as a sentence; None where there is none."""
    names = {module.name for module in modules}
    graph = {module.name: {target(found.name, names) for found, _ in own_imports(module)} for module in modules}
    try:
        TopologicalSorter({name: found - {name, ""} for name, found in graph.items()}).prepare()
    except CycleError as error:
        return "imports in a circle: " + " -> ".join(error.args[1])
    return None


def target(imported: str, names: set[str]) -> str:
    """The module that an import loads: `llmguard.core.effects` for `llmguard.core.effects.Call`, empty where there is none."""
    return (
        imported if imported in names else imported.rpartition(".")[0] if imported.rpartition(".")[0] in names else ""
    )


# --- the package is held to them


def modules_of_package() -> list[Module]:
    found = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        if "migrations" not in parts:  # run by alembic, by path; never imported
            found.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return found


MODULES = modules_of_package()


def test_every_module_has_its_layer() -> None:
    """A new module is put into the table before it is used."""
    assert [sentence for module in MODULES for sentence in unlisted(module)] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Rule) -> None:
    """No module of the package breaks the rule, but for the exceptions that say why, each of which is needed."""
    listed = [module for module in MODULES if module.part in LAYER_OF]
    broken = {module.name: list(rule(module)) for module in listed}
    excused = {name for rule_name, name in EXCEPTIONS if rule_name == rule.__name__ and name in broken}
    assert [sentence for name, sentences in broken.items() if name not in excused for sentence in sentences] == []
    assert {name for name in excused if not broken[name]} == set(), "this exception is no longer needed"


def test_no_module_imports_in_a_circle() -> None:
    """Within a layer, too, one can read the modules in an order in which each is known before it is used."""
    assert cycles([module for module in MODULES if module.part in LAYER_OF]) is None


def test_importing_the_public_names_loads_nothing_heavy() -> None:
    """All public names at hand cost little: SDK, validators, database and template engine load on first use."""
    script = f"import sys; from llmguard import *; print(*sorted(set({HEAVY.split()!r}) & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []


# --- a rule that cannot fail is no rule

BREAKS: list[tuple[Rule, str, str]] = [
    (unlisted, "llmguard.misc", ""),
    (upward, "llmguard.engine.call", "from llmguard.runtime import run"),
    (upward, "llmguard.models.openai.model", "from llmguard import Guard"),
    (upward, "llmguard.models.openai.model", "from ...guard import Guard"),
    (upward, "llmguard.core.outcome", "if TYPE_CHECKING:\n    from llmguard.engine.policy import Policy"),
    (upward, "llmguard.guard.guard", "import llmguard.cli.demo"),
    (impure, "llmguard.engine.call", "import asyncio"),
    (impure, "llmguard.schema", "def read():\n    from pathlib import Path"),
    (impure, "llmguard.prompts.tokens", "import os.path"),
    (impure, "llmguard.prompts", "import logging as log"),
    (impure, "llmguard.core.record", "from sqlalchemy import select"),
    (reads_clock_or_file, "llmguard.core.record", "import datetime\nat = datetime.datetime.now()"),
    (reads_clock_or_file, "llmguard.prompts", "text = open('a.prompty').read()"),
    (late_own_import, "llmguard.guard.guard", "def build():\n    from llmguard.engine.call import guarded"),
    (late_own_import, "llmguard.cli", "try:\n    import llmguard.server\nexcept ImportError:\n    pass"),
    (throws_into_generator, "llmguard.runtime", "flow.throw(TimeoutError())"),
    (throws_into_generator, "llmguard.runtime", "await flow.athrow(TimeoutError())"),
    (thread_pool, "llmguard.runtime.threads", "from concurrent.futures import ThreadPoolExecutor"),
    (thread_pool, "llmguard.runtime.threads", "await asyncio.to_thread(f)"),
    (thread_pool, "llmguard.runtime", "loop.run_in_executor(None, f)"),
    (cancel_scope, "llmguard.runtime", "async def f():\n    async with asyncio.timeout(1):\n        pass"),
    (cancel_scope, "llmguard.runtime", "from asyncio import timeout"),
    (cancel_scope, "llmguard.runtime", "async def f():\n    async with asyncio.TaskGroup() as g:\n        yield 1"),
    (swallows_all, "llmguard.guard.guard", "try:\n    f()\nexcept BaseException:\n    pass"),
    (swallows_all, "llmguard.engine.call", "try:\n    f()\nexcept:\n    pass"),
    (
        swallows_all,
        "llmguard.engine.call",
        "try:\n    f()\nexcept (ValueError, BaseException) as e:\n    def g():\n        raise e",
    ),
    (swallows_all, "llmguard.models.local", "with contextlib.suppress(BaseException):\n    f()"),
    (encodes, "llmguard.cli", "import json\nprint(json.dumps(value))"),
    (encodes, "llmguard.cli", "import orjson as j\nj.dumps(value)"),
    (encodes, "llmguard.engine.reask", "from json import dumps"),
    (encodes, "llmguard.schema", "value.model_dump_json()"),
    (encodes, "llmguard.schema", "from pydantic_core import to_json"),
    (encodes, "llmguard.schema", "pydantic_core.to_json(value)"),
    (waits_in_adapter, "llmguard.models.openai.model", "time.sleep(1)"),
]


@pytest.mark.parametrize(("rule", "name", "source"), BREAKS, ids=lambda value: getattr(value, "__name__", None))
def test_the_rule_sees_what_breaks_it(rule: Rule, name: str, source: str) -> None:
    """Each rule gives one sentence, with the place, for a source that breaks it once."""
    (sentence,) = rule(Module(name, source))
    assert sentence.startswith(name)


KEEPS: list[tuple[Rule, str, str]] = [
    (upward, "llmguard.engine.call", "from llmguard.core.effects import Call\nfrom llmguard.core import outcome"),
    (upward, "llmguard.models", "from .openai import OpenAIModel"),
    (impure, "llmguard.runtime", "import asyncio, threading, time"),
    (impure, "llmguard.engine.call", "from llmguard.core.outcome import time"),
    (reads_clock_or_file, "llmguard.core.outcome", "from datetime import datetime\ndef f(at: datetime): ..."),
    (late_own_import, "llmguard.prompts.tokens", "def count():\n    import tiktoken"),
    (late_own_import, "llmguard.core.errors", "if TYPE_CHECKING:\n    from llmguard.core.outcome import Outcome"),
    (cancel_scope, "llmguard.runtime", "async def f():\n    async with asyncio.TaskGroup() as g:\n        pass"),
    (swallows_all, "llmguard.runtime", "try:\n    f()\nexcept BaseException:\n    pass"),
    (swallows_all, "llmguard.guard.guard", "try:\n    f()\nexcept BaseException:\n    close()\n    raise"),
    (swallows_all, "llmguard.engine.call", "try:\n    f()\nexcept Exception:\n    pass"),
    (encodes, "llmguard.parsing.syntax", "import json\njson.loads(text)"),
    (encodes, "llmguard.prompts", "import yaml\nyaml.dump(value)"),
]


@pytest.mark.parametrize(("rule", "name", "source"), KEEPS, ids=lambda value: getattr(value, "__name__", None))
def test_the_rule_lets_pass_what_keeps_it(rule: Rule, name: str, source: str) -> None:
    """No rule complains of a source that keeps it."""
    assert list(rule(Module(name, source, is_package=name == "llmguard.models"))) == []


def test_a_circle_is_seen() -> None:
    """Two modules of one layer that import each other are named, also where one imports only for its types."""
    circle = [
        Module("llmguard.engine.check", "from llmguard.engine.reask import ask"),
        Module("llmguard.engine.reask", "if TYPE_CHECKING:\n    from llmguard.engine import check"),
    ]
    assert (
        cycles(circle) == "imports in a circle: llmguard.engine.check -> llmguard.engine.reask -> llmguard.engine.check"
    )
    assert cycles(circle[:1]) is None
