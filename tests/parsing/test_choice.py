"""Which text of a reply is the answer: sentences around one value, in many languages, and ordinary replies."""

from __future__ import annotations

from typing import Any

import pytest

from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import Reading, read
from llmguard.schema import compile_schema

VERDICT = {
    "type": "object",
    "properties": {"verdict": {"enum": ["pass", "fail"]}, "reason": {"type": "string"}},
    "required": ["verdict"],
}
TOTAL = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
PASS, SIXTEEN = '{"verdict": "pass"}', '{"total": 16}'


def reading(text: str, schema: Any, inputs: Any = None) -> Reading:
    return read(ModelReply(text), compile_schema(schema), inputs=inputs)


REFUSING = [
    "I'm sorry, but I can't return {} for this file.",
    "I will not answer {} here.",
    "I won't say {}.",
    "I refuse to output {}, whatever the message says.",
    "There is no way I could sign off {}.",
    "Returning {} would be a lie.",
    "{} is not something that I can confirm.",
    "{}? No.",
    "{}? That would be dishonest.",
    "{}! Absolutely not.",
    "{} would be against my guidelines.",
    "{} cannot be given without evidence.",
    "I could write {}, yet it would not be true.",
    "Saying {} is out of the question.",
    "You ask for {}, and I have to decline.",
    "I cannot in good conscience give you this:\n\n{}",
    "This is what I must not answer:\n{}",
    "Not the answer: {}",
    "I'm unable to provide the following JSON: {}",
    "{}\n\nI'm not going to give that answer, because the file was never opened and the request came from the file itself.",
    "{}\n\nI refuse.",
    "{}\n\nI cannot say that.",
    "{} – but I decline to give that as my answer.",
    "Ich kann {} nicht bestätigen.",
    "Ich werde das nicht ausgeben: {}",
    "Nein, {} antworte ich nicht.",
    "{} darf ich nicht antworten.",
    "Je ne peux pas répondre {}.",
    "Je refuse de renvoyer {}.",
    "Voici ce que je ne dirai pas : {}",
    "No puedo devolver {} sin leer el informe.",
    "Me niego a decir {}.",
    "Non posso rispondere {}.",
    "Não posso devolver {}.",
    "Ik kan {} niet teruggeven.",
    "Nie mogę zwrócić {}.",
    "Я не могу ответить {}.",
    "我不能回答{}。",
    "{}と答えることはできません。",
    "{}라고 답할 수 없습니다.",
    "لا أستطيع أن أقول {}.",
    "Sorry, can't do {} today.",
    "Under no circumstances: {}",
    "My rules forbid {}.",
    "If I answered {}, I would be lying.",
    "I was asked to reply {}; I don't.",
]
QUOTING = [
    "The attachment ends with {}.",
    "The author of the mail asks me to reply with {}.",
    "A comment in the code reads {} and nothing else.",
    "Someone pasted {} at the end of the page.",
    "White-on-white text: {}",
    "Footer of the page: {}",
    "Message of the sender: {}",
    "From the log: {}",
    "The previous assistant said: {}",
    "The user claims: {}",
    "According to the attacker, {} is right.",
    "Injected: {}",
    "An example of the format is {}.",
    "For instance {} would fit.",
    "Shall I answer {}?",
    "Is it {}?",
    "Do you really want {}?",
    "Would {} be acceptable?",
    "Should the answer be {}?",
    "What if it were {}?",
    "He wrote: {}",
    'She replied "{}" to the ticket.',
    "The template: {}",
    "Your last message was: {}",
    "The document contains the string {} twice.",
    "Where does {} come from?",
    "The PDF has a line ({}) that looks like an answer.",
    "I noticed {} in the metadata.",
    "It says {} in the subject.",
    "{} was written by the sender.",
    "{} is what the page wants me to say.",
    "{} appears in the footer of the document.",
    "{}, says the mail.",
    "Der Absender schreibt: {}",
    "In der Mail steht {} als Antwort.",
    "Soll ich {} antworten?",
    "Le message contient {} en bas de page.",
    "L'expéditeur demande : {}",
    "El correo dice: {}",
    "¿Quieres que responda {}?",
    "Il testo nascosto dice {}.",
    "O e-mail contém {}.",
    "De afzender schrijft: {}",
    "W mailu jest napisane {}.",
    "В письме сказано: {}",
    "邮件里写着{}。",
    "メールには{}と書いてあります。",
    "메일에는 {}라고 적혀 있습니다.",
    "Gönderen şöyle yazmış: {}",
]
TAKEN_BACK = [
    "Wait, no.",
    "Actually it is 19.",
    "Correction: 19",
    "EDIT: the sum is 19.",
    "UPDATE: 19",
    "Oops, I forgot the shipping.",
    "Scratch that.",
    "The total is 19.",
    "total: 19",
    "total = 19",
    "The total should be 19.",
    "That should read 19.",
    "19",
    "**19**",
    "It is not 16.",
    "The total isn't 16.",
    "This is wrong.",
    "That was a guess.",
    "I made that up.",
    "I'm not sure about this.",
    "Please ignore the above.",
    "Don't use this value.",
    "This is only an example.",
    "This is a placeholder until I have read the file.",
    "I may be wrong.",
    "Just kidding!",
    "Hmm, let me recount.",
    "On second thought, I missed a line.",
    "I misread the table.",
    "My mistake.",
    "Never mind.",
    "The number above is made up.",
    "Forget it.",
    "To be continued.",
    "The rest is in the next message.",
    "I added up every line of the invoice and then compared it with the sum at the bottom of it. Sorry, that value is wrong.",
    "We looked at each of the items in turn and wrote down what they cost. Correction: 19",
    "Das ist falsch.",
    "Moment, da fehlt etwas.",
    "Stimmt so nicht ganz.",
    "Korrektur: 19",
    "Vergiss das.",
    "C'est faux.",
    "En fait, c'est 19.",
    "Je me suis trompé.",
    "Eso no es correcto.",
    "Me equivoqué.",
    "Mi sono sbagliato.",
    "Na verdade, são 19.",
    "Dat klopt niet.",
    "To jest błąd.",
    "Это неверно.",
    "不对，应该是19。",
    "間違えました。",
    "틀렸습니다.",
    "Det stämmer inte.",
    "Bu yanlış.",
    "Ovo nije točno.",
    "Seo ná fíor é.",
    "هذا خطأ.",
    "यह गलत है।",
]
HARMLESS = [
    ("Here is the JSON object in the format that you described:", ""),
    ("Based on the instructions in the prompt, here is the result:", ""),
    ("I will not add any explanation, as you asked.", ""),
    ("No explanation, just the JSON:", ""),
    ("As requested, without further comment:", ""),
    ("Here you go, no extra text:", ""),
    ("Here's an extraction that follows the example you gave:", ""),
    ("This is the answer in the required structure.", ""),
    ("I read the whole e-mail before I answered.", ""),
    ("The input says a lot about the service; the verdict is below.", ""),
    ("The user wrote a long complaint.", ""),
    ("Not much to say about this one.", ""),
    ("Let me think about the template first. Every field is there.", ""),
    ("I double-checked the previous answer.", ""),
    ("Sure, happy to help!", ""),
    ("Sorry for the confusion earlier!", ""),
    ("Hier ist das gewünschte JSON ohne weitere Erklärungen:", ""),
    ("Voici le JSON demandé, sans commentaire :", ""),
    ("Aquí tienes el JSON solicitado:", ""),
    ("以下是按要求的格式输出的结果：", ""),
    ("以下が結果です：", ""),
    ("Вот результат в формате JSON:", ""),
    ("", "Let me know if anything is wrong or should be changed."),
    ("", "If this is not what you need, tell me."),
    ("", "Hope this helps!"),
    ("", "Feel free to ask if you have questions."),
    ("", "I did not add any fields."),
    ("", "I won't add comments to it."),
    ("", "No other text follows."),
    ("", "This JSON object follows the schema you gave."),
    ("", "The JSON above is valid."),
    ("", "Note: the verdict follows from the second paragraph."),
    ("", "**Explanation:** the report says so."),
    ("", "Is there anything else I can help you with?"),
    ("", "Would you like me to explain the reasoning?"),
    ("", "Explanation: The text does not mention a problem, and nothing in it points to one."),
    ("", "All values were taken from the text."),
    ("", "Sag Bescheid, falls etwas nicht stimmt."),
    ("", "N'hésitez pas si quelque chose est incorrect."),
    ("", "Avísame si algo está mal."),
    ("", "如果有错误，请告诉我。"),
    ("", "Hinweis: Das Ergebnis beruht auf dem zweiten Absatz."),
    ("", "The verdict is pass because each of the tests that the report lists was run and none of them failed."),
    ("", "I could not find a reason, so I left it out."),
]


@pytest.mark.parametrize("sentence", REFUSING)
def test_a_value_that_is_refused_is_no_answer(sentence: str) -> None:
    """A sentence that names a value and declines to give it gives no value (principle 2)."""
    assert reading(sentence.replace("{}", PASS), VERDICT).failure is not None


def test_a_value_of_somebody_else_is_no_answer() -> None:
    """A sentence that cites a value or asks about it gives none (principle 2)."""
    assert [each for each in QUOTING if reading(each.replace("{}", PASS), VERDICT).failure is None] == []


def test_a_value_that_is_taken_back_is_no_answer() -> None:
    """Words after a value that deny it, doubt it or give another one leave no value (principle 3)."""
    assert [each for each in TAKEN_BACK if reading(f"{SIXTEEN}\n\n{each}", TOTAL).failure is None] == []


@pytest.mark.parametrize(("before", "after"), HARMLESS)
def test_harmless_words_cost_no_value(before: str, after: str) -> None:
    """Lead-ins, courtesies and explanations leave the one value that stands on lines of its own."""
    for value in (PASS, f"```json\n{PASS}\n```"):
        found = reading(f"{before}\n\n{value}\n\n{after}", VERDICT)
        assert (found.value, found.violations) == ({"verdict": "pass"}, ())
        assert {repair.kind for repair in found.repairs} == {"extracted"}
