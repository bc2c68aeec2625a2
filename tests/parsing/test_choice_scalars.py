"""A scalar in the words of a short reply: the habits that are read, and what beside it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import Reading, read
from llmguard.schema import compile_schema

MOOD = {"enum": ["positive", "negative", "neutral"]}
TEAM = {"enum": ["billing", "shipping", "account access", "other"]}
LEVEL = {"enum": ["low", "medium", "high"]}
COUNT = {"type": "integer"}
AMOUNT = {"type": "number"}
FLAG = {"type": "boolean"}
DAY = {"type": "string", "format": "date"}
TEXT = {"type": "string"}


def reading(text: str, schema: Any, inputs: Any = None) -> Reading:
    return read(ModelReply(text), compile_schema(schema), inputs=inputs)


SAID = [
    (MOOD, "positive", "positive"),
    (MOOD, "Positive", "positive"),
    (MOOD, "Positive.", "positive"),
    (MOOD, '"positive"', "positive"),
    (MOOD, "**positive**", "positive"),
    (MOOD, "```\npositive\n```", "positive"),
    (MOOD, '```json\n"positive"\n```', "positive"),
    (MOOD, "The sentiment is **positive**.", "positive"),
    (MOOD, "The sentiment is positive.", "positive"),
    (MOOD, "The sentiment of this review is **positive**.", "positive"),
    (MOOD, "Sentiment: positive", "positive"),
    (MOOD, "**Sentiment:** Positive", "positive"),
    (MOOD, "**Sentiment: Positive**", "positive"),
    (MOOD, "Answer: positive", "positive"),
    (MOOD, "Final answer: **positive**", "positive"),
    (MOOD, "Positive is the correct answer.", "positive"),
    (MOOD, "I would classify this review as positive.", "positive"),
    (MOOD, "Based on the text, I would classify the sentiment as **positive**.", "positive"),
    (MOOD, "Sure! The sentiment is **positive**.", "positive"),
    (MOOD, "Sorry for the mix-up! The answer is **positive**.", "positive"),
    (MOOD, "Positive\n\nThe customer praises the quick delivery and the friendly staff.", "positive"),
    (MOOD, "**Positive**\n\nReason: the customer praises the quick delivery.", "positive"),
    (MOOD, "Positive. The customer praises the quick delivery.", "positive"),
    (MOOD, "Positive – the customer praises the quick delivery.", "positive"),
    (MOOD, "The customer praises the quick delivery.\n\nAnswer: positive", "positive"),
    (
        MOOD,
        "The customer praises the delivery and has no complaints.\n\nTherefore, the sentiment is **positive**.",
        "positive",
    ),
    (MOOD, "The review praises the staff.\n\nPositive", "positive"),
    (MOOD, "The sentiment is **positive**, as there are no complaints.", "positive"),
    (MOOD, "The sentiment expressed in this review is `positive`.", "positive"),
    (MOOD, 'The sentiment is "positive".', "positive"),
    (MOOD, "<think>It praises the staff. Negative? No.</think>\npositive", "positive"),
    (MOOD, "<think>Hmm.</think>The sentiment is **positive**.", "positive"),
    (MOOD, "Die Stimmung ist **positive**.", "positive"),
    (MOOD, "Le sentiment est **positive**.", "positive"),
    (MOOD, "El sentimiento es **positive**.", "positive"),
    (MOOD, "情感是 **positive**。", "positive"),
    (MOOD, "答案：positive", "positive"),
    (MOOD, "答えは「positive」です。", "positive"),
    (MOOD, "Ответ: positive", "positive"),
    (MOOD, "정답: positive", "positive"),
    (MOOD, "The sentiment is **positive**.\n\nLet me know if you need anything else!", "positive"),
    (MOOD, "Here is the sentiment: positive", "positive"),
    (MOOD, "Here is the classification:\n\n**positive**", "positive"),
    (MOOD, "Label: POSITIVE", "positive"),
    (MOOD, "\\boxed{positive}", "positive"),
    (MOOD, "The answer is $\\boxed{positive}$.", "positive"),
    (MOOD, "- positive", "positive"),
    (MOOD, "✅ positive", "positive"),
    (TEAM, "The ticket should be classified as **billing**.", "billing"),
    (TEAM, "This ticket should go to the **billing** team.", "billing"),
    (TEAM, "This ticket falls under the category: billing", "billing"),
    (TEAM, "The ticket belongs to **account access**.", "account access"),
    (TEAM, "Category: Account Access", "account access"),
    (TEAM, "The correct category is billing.", "billing"),
    (TEAM, "Category: billing\nReason: The customer was charged twice.", "billing"),
    (TEAM, "The most appropriate category for this ticket is **shipping**.", "shipping"),
    (TEAM, "I'd go with **shipping**.", "shipping"),
    (TEAM, "Kategorie: billing", "billing"),
    (TEAM, "Die Kategorie ist: billing", "billing"),
    (LEVEL, "Urgency: high", "high"),
    (LEVEL, "The urgency level is **high**.", "high"),
    (LEVEL, "The priority is high because the customer cannot log in.", "high"),
    (COUNT, "9", 9),
    (COUNT, "**9**", 9),
    (COUNT, "The answer is 9.", 9),
    (COUNT, "The answer is **9**.", 9),
    (COUNT, "A total of **9** devices were received.", 9),
    (COUNT, "There are **9** devices in the list.", 9),
    (COUNT, "Total: 9", 9),
    (COUNT, "The total number of devices is 9.", 9),
    (COUNT, "Answer: 9", 9),
    (COUNT, "```\n9\n```", 9),
    (COUNT, "The number of devices is **9**.", 9),
    (AMOUNT, "The total is **12.50**.", 12.5),
    (AMOUNT, "The answer is: 12.5", 12.5),
    (FLAG, "true", True),
    (FLAG, "True", True),
    (FLAG, "Yes.", True),
    (FLAG, "No", False),
    (FLAG, "The answer is **true**.", True),
    (FLAG, "Sorry for the mix-up! The answer is **true**.", True),
    (FLAG, "The answer is yes.", True),
    (FLAG, "The answer is no.", False),
    (FLAG, "**False**\n\nThe mail holds an invoice and is expected by its reader.", False),
    (FLAG, "Answer: true\n\nExplanation: the mail asks for a password.", True),
    (FLAG, "True. The mail asks for a password.", True),
    (DAY, "2024-03-05", "2024-03-05"),
    (DAY, '"2024-03-05"', "2024-03-05"),
    (DAY, "The date is 2024-03-05.", "2024-03-05"),
    (DAY, "The invoice date is **2024-03-05**.", "2024-03-05"),
    (DAY, "The invoice was issued on 2024-03-05.", "2024-03-05"),
    (DAY, "The invoice was issued on **March 5, 2024**.", "2024-03-05"),
    (DAY, "The meeting takes place on 5 March 2024.", "2024-03-05"),
    (DAY, "Date: 2024-03-05", "2024-03-05"),
    (TEXT, "The sky is clear.", "The sky is clear."),
    (TEXT, '"The sky is clear."', "The sky is clear."),
    (TEXT, '```json\n"The sky is clear."\n```', "The sky is clear."),
    (TEXT, 'Here is the summary:\n\n"The sky is clear."', "The sky is clear."),
    (TEXT, 'Sure! Here is the translation: "Der Himmel ist klar."', "Der Himmel ist klar."),
    (TEXT, "Here is the translation:\n\n“Der Himmel ist klar.”", "Der Himmel ist klar."),
    (TEXT, "Sure! Here is the summary:\n\nThe sky is clear.", "The sky is clear."),
    (TEXT, "Summary: none of it is lost: nothing.", "Summary: none of it is lost: nothing."),
    (TEXT, 'He said "no" and left.', 'He said "no" and left.'),
    (TEXT, "To install it, run:\n\n```\npip install x\n```", "To install it, run:\n\n```\npip install x\n```"),
    (TEXT, "Sorry for the delay, your parcel is on its way.", "Sorry for the delay, your parcel is on its way."),
    (TEXT, "I can't wait to see you!", "I can't wait to see you!"),
    (TEXT, "I cannot recommend this kettle: it leaks.", "I cannot recommend this kettle: it leaks."),
]
UNSAID = [
    (MOOD, "The sentiment is not positive."),
    (MOOD, "The sentiment is not **positive**."),
    (MOOD, "It isn't **positive**."),
    (MOOD, "The sentiment is **positive** or **negative**."),
    (MOOD, "The sentiment is positive, or maybe neutral."),
    (MOOD, "The sentiment might be **positive**."),
    (MOOD, "Perhaps positive."),
    (MOOD, "Is it **positive**?"),
    (MOOD, "positive?"),
    (MOOD, "Anything but **positive**."),
    (MOOD, "Never **positive**."),
    (MOOD, "Positive\n\nWait, that is wrong."),
    (MOOD, "Positive. Das stimmt nicht."),
    (MOOD, "positive\n\nEDIT: negative"),
    (MOOD, "Positive\nNegative"),
    (MOOD, "The delivery was **positive**, the product **negative**."),
    (MOOD, "Delivery: positive\nProduct: negative"),
    (MOOD, "I can't say that it is **positive**."),
    (MOOD, "I cannot answer this.\n\npositive"),
    (MOOD, "The sentiment is between positive and neutral."),
    (MOOD, "The customer did not say anything **positive**."),
    (MOOD, "positive, negative, neutral"),
    (TEAM, "It is either billing or shipping."),
    (TEAM, "Not billing."),
    (TEAM, "The ticket is about **billing**, but the **shipping** team should take it."),
    (TEAM, "This has nothing to do with **billing**."),
    (LEVEL, "The urgency is **high**, the impact is low."),
    (COUNT, "A total of **9** of 12 devices were received."),
    (COUNT, "The total is not **9**."),
    (COUNT, "There are **9** phones and **3** tablets."),
    (COUNT, "9\n\nCorrection: 8"),
    (COUNT, "The total is 9. The tax is 3."),
    (COUNT, "About **9** or so; maybe more."),
    (FLAG, "The answer is not true."),
    (FLAG, "It is neither **true** nor false."),
    (FLAG, "Yes and no."),
    (FLAG, "The answer is maybe."),
    (DAY, "It was issued on 2024-03-05 and is due on 2024-04-05."),
    (DAY, "It was not issued on 2024-03-05."),
    (DAY, "Issued on **2024-03-05** or the day after."),
]
DECLINED = [
    "I'm sorry, but I can't help with that.",
    "I'm sorry, but I can't assist with that request. Is there anything else I can help you with?",
    "I can't provide that information.",
    "Sorry, I am not able to do that.",
    "As an AI language model, I cannot browse the internet.",
    "I apologize, but I cannot fulfill this request.",
    '"I\'m sorry, I cannot help with that."',
    "Es tut mir leid, aber dabei kann ich nicht helfen.",
    "Je suis désolé, je ne peux pas vous aider.",
    "Lo siento, no puedo ayudarte con eso.",
    "Mi dispiace, non posso aiutarti.",
    "Desculpe, não posso ajudar com isso.",
    "Извините, я не могу помочь с этим.",
    "抱歉，我无法回答这个问题。",
    "申し訳ありませんが、お答えできません。",
    "죄송하지만 도와드릴 수 없습니다.",
]


@pytest.mark.parametrize(("schema", "text", "value"), SAID)
def test_a_scalar_that_is_said_is_read(schema: Any, text: str, value: Any) -> None:
    """Phrases around one scalar, the one emphasised, a first line alone: all of them give it (principle 8)."""
    found = reading(text, schema)
    assert (found.violations, found.value) == ((), value)


@pytest.mark.parametrize(("schema", "text"), UNSAID)
def test_a_scalar_that_is_denied_or_has_a_rival_is_not_read(schema: Any, text: str) -> None:
    """A negation, a hedge, a question or another scalar beside it leaves none."""
    assert reading(text, schema).failure is not None


@pytest.mark.parametrize("text", DECLINED)
def test_a_whole_reply_that_declines_is_a_refusal(text: str) -> None:
    """Also where the schema is a text, unless the guard allows the repair by its name (principle 6)."""
    assert reading(text, TEXT).failure == "refusal"
