"""The tags of thoughts, one table for whole and streamed replies.

The tags are tokens of chat templates, so the table is complete for the models it names; a tag of a model that is not
named stays text before the value. Sources, all of them the models' own templates or the reasoning parsers of vLLM:

- `<think>`: DeepSeek-R1, Qwen3, QwQ, GLM-4.5, MiniMax, Hunyuan, Nemotron; `<seed:think>`: Seed-OSS; `<mm:think>` and
  `<longcat_think>`: a prefix before the same word.
- `<thinking>`, `<scratchpad>`, `<antthinking>`, `<inner_monologue>`: what Anthropic's prompt guide and Hermes ask for;
  `<thought>`: EXAONE Deep; `<reasoning>`, `<reflection>`: Reflection-70B and templates of evaluation harnesses.
- `[THINK]`: Magistral; `[BEGIN_THINK]`: ServiceNow's Apriel; `◁think▷`: Kimi-VL.
- `<|START_THINKING|>`: Command A Reasoning; `<|begin_of_thought|>`: OpenThinker and Sky-T1; `<|inner_prefix|>`: Apertus.
- `<|channel|>analysis … <|channel|>final`: gpt-oss (harmony); `<|channel>thought … <channel|>` and
  `<unused94>thought … <unused95>`: Gemma and MedGemma.
"""

from __future__ import annotations

_NAMES = (
    r"think|thinking|thought|thoughts|reasoning|reason|reflection|scratchpad|analysis|chain_of_thought|cot"
    r"|inner_monologue|antthinking"
)
_SET_ASIDE = r"plan|draft|example"
"""Tags around what is no thought and no answer either; one that is never closed hides nothing."""

OPENING = (
    rf"<(?:[a-z]{{1,12}}[:_])?(?:{_NAMES})\b[^<>\n]{{0,80}}+>|(?-i:\[(?:BEGIN_)?THINK\])|◁think▷"
    r"|<\|(?:start|begin)(?:_of)?_(?:thinking|thought|think)\|>|<\|inner_prefix\|>"
    r"|<\|channel\|>(?:analysis|commentary)|<\|channel>thought|<unused94>thought"
)
"""A pattern, without case."""

CLOSING = (
    rf"</(?:[a-z]{{1,12}}[:_])?(?:{_NAMES})>|(?-i:\[(?:/|END_)THINK\])|◁/think▷"
    r"|<\|end(?:_of)?_(?:thinking|thought|think)\|>|<\|inner_suffix\|>|<\|channel\|>final|<channel\|>|<unused95>"
)
ASIDE_OPENING = rf"<(?:{_SET_ASIDE})\b[^<>\n]{{0,80}}+>"
ASIDE_CLOSING = rf"</(?:{_SET_ASIDE})>"

UNFINISHED = r"(?:<[^<>\n]{0,100}+|<\|?channel\|?>[a-z]{0,9}|<unused9[45]>[a-z]{0,7}|\[(?:[/BET][A-Z_]{0,11}+)?+|◁[^▷\n]{0,8}+)\Z"
"""What may become a tag when the text goes on."""
