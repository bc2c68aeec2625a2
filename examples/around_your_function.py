"""`@guarded` on a function that calls a model with any SDK: the function returns text, the guard a checked value."""

from dataclasses import dataclass

from llmguard import constant, guarded


@dataclass
class Person:
    name: str
    age: int


def ask_any_model(question: str) -> str:
    """Replace this by your own call: `client.chat.completions.create(...).choices[0].message.content`, or any other SDK."""
    if "number" in question:
        return '{"name": "Ada Lovelace", "age": 36}'
    return '{"name": "Ada Lovelace", "age": "thirty-six"}'


@guarded(schema=Person, fallback=[constant(Person(name="unknown", age=0))], log=None)
def person_in(text: str, feedback: str | None = None) -> str:
    """`feedback` says what was wrong with the last reply; it is None at first."""
    question = f"Who is it, and how old? {text}"
    return ask_any_model(f"{question} Mend this, age is a number: {feedback}" if feedback else question)


person = person_in("Ada Lovelace was 36 when she died.")
print(person.name, person.age)
outcome = person_in.run("Ada Lovelace was 36 when she died.")
print(outcome.explain())
