"""The tables of words about an answer, a language a line. They refuse or excuse; none of them chooses between two values.

Each fails closed, so none of them has to be complete: words that are on no table make a value that has prose around it
ambiguous or a quotation, and the model is asked again. Longer tables lose fewer right replies and let no wrong one out.
"""

from __future__ import annotations

from re import IGNORECASE

from llmguard.core.patterns import Pattern


def _table(*lines: str) -> str:
    return "|".join(lines)


def _words(*lines: str) -> Pattern:
    """Whole words anywhere."""
    return Pattern(rf"(?<!\w)(?:{_table(*lines)})(?!\w)", IGNORECASE)


def _opening(*lines: str) -> Pattern:
    """At the beginning of a sentence, after marks; the words may go on."""
    return Pattern(rf"[^\w¿]*+¿?(?:{_table(*lines)})", IGNORECASE)


# ------------------------------------------------------------------------------------------------- before a value

PRESENTS = Pattern(
    r"[^\w]*+(?:(?:and|so|but|therefore|thus|now|also|aber|et|y|e|и|und|mais|pero)\s+)?+(?:"
    + _table(
        r"here(?: (?:you|we) (?:go|are)| it is| they are)?(?=\s*[:：])|(?:here|below)(?: is| are|['’]s)\b"
        r"|this is\b|these are\b|(?:please )?(?:find|see) (?:below|the)\b",
        r"(?:the )?following (?:is|are)\b|it (?:looks like this|is as follows)\b|i (?:have "
        r"|['’]ve )?(?:extracted|classified)\b",
        r"hier (?:ist|sind|kommt|folgt)\b|nachfolgend\b|anbei\b|im folgenden\b|das ist\b|dies ist\b",
        r"voici\b|voilà\b|ci-dessous\b|c['’]est\b",
        r"aqu[íi] (?:está|están|tienes?|va|te dejo)\b|a continuación\b|est[ea]s? (?:es|son)\b",
        r"ecco(?:lo|la|ti)?\b|di seguito\b|quest[oa] è\b",
        r"aqui (?:está|estão|vai)\b|segue\w*\b|eis\b|est[ea] é\b",
        r"hier (?:is|zijn|volgt)\b|hierbij\b|dit is\b",
        r"oto\b|poniżej\b|to jest\b|zde\b|tady\b|níže\b|iată\b|íme\b|itt van\b",
        r"вот\b|ниже\b|это\b|ось\b",
        r"här (?:är|kommer|följer)\b|nedan\b|her er\b|nedenfor\b|tässä\b|alla\b",
        r"işte\b|aşağıda\w*|berikut\b|ini adalah\b|đây là\b|dưới đây\b|εδώ\b|ορίστε\b",
        r"以下(?:是|为|為|は|が|の)|下面是|如下|这是|這是|こちらが|これが|次の|다음은|아래는|여기",
        r"إليك|هذا هو|هذه هي|فيما يلي|यहाँ|यह (?:रहा|है)|नीचे",
    )
    + ")",
    IGNORECASE,
)
"""A clause that hands the value over."""

_NOUNS = (
    "answer answers result results output outputs response reply json object data value values solution extraction classification"
    " categorization category class label sentiment verdict decision conclusion summary translation information"
    " info fields details"
    " structure list array entities entity records items prediction rating score"
    " antwort ergebnis ausgabe daten objekt lösung kategorie klasse klassifikation klassifizierung wert werte zusammenfassung"
    " réponse résultat sortie données objet catégorie valeur valeurs résumé classification"
    " respuesta resultado salida datos objeto categoría categoria valor valores resumen clasificación"
    " risposta risultato dati oggetto valore valori riepilogo resposta saída saida dados classificação"
    " antwoord resultaat uitvoer gegevens waarde odpowiedź wynik dane obiekt kategoria wartość"
    " ответ результат вывод данные объект категория значение"
    " yanıt cevap sonuç çıktı veri svar resultat utdata värde vastaus tulos odpověď výsledek válasz eredmény jawaban hasil"
)
_FILLERS = (
    "final corrected revised extracted requested structured valid complete completed formatted parsed overall full form"
    " version format"
    " the my your this is are as in of for a an and to with from text it i'd i say would be so below following"
    " extrahierte extrahierten strukturierte endgültige korrigierte die das der dem den mein meine als ist sind lautet im aus"
    " extraites extraits finale corrigée le la les l ma mon est sont en de du des"
    " extraídos final corregida el los las mi es son estratti corretta il lo i è sono corrigida o os as minha é são"
    " definitief het mijn zijn to jest мой это"
)
LABEL_NOUNS = frozenset(_NOUNS.split())
"""What a label calls an answer. A label without one of these has to be made of the schema's own words."""

LABELS = LABEL_NOUNS | frozenset(_FILLERS.split())
"""All words of a label that announces an answer."""

UNSPACED_LABEL = Pattern(
    r"答案|结果|結果|输出|輸出|回答|数据|資料|データ|出力|回复|回覆|分类|分類|类别|類別|摘要|要約|정답|답변|결과|출력|데이터|응답|요약|분류"
    r"|الإجابة|الجواب|النتيجة|الناتج|उत्तर|परिणाम|คำตอบ|ผลลัพธ์",
)
COPULA = Pattern(
    r"(?<![^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])(?:is|are|ist|sind|lautet|est|sont|es|son|è|sono|é|são"
    r"|zijn|jest|to|это|är|er|on|是|为|為|は|は次の通りです|이다|입니다|은|는|هي|هو|है)\s*+[:：]?\s*\Z",
    IGNORECASE,
)
NEGATES = Pattern(
    r"(?<!\w)(?:"
    + _table(
        r"not|no|never|none|neither|nor|cannot|\w{2,8}n['’]t|refus\w*|declin\w*|unable|reject\w*|forbid\w*"
        r"|forbidden|without",
        r"nothing|nobody|nowhere|anything but|far from|hardly|barely|except|instead|rather|under no|object to"
        r"|disagree\w*|against|breach\w*|violat\w*|avoid\w*|false|wrong|incorrect|fake",
        r"nicht|kein\w*|nie|niemals|weder|ohne|weiger\w*|ablehn\w*|lehne|falsch\w*|statt",
        r"ne|n['’]\w+|pas|jamais|aucun\w*|sans|refuse\w*|faux|fausse",
        r"nunca|ningun\w*|ningún|sin|niego|rechaz\w*|fals[oa]|non|mai|nessun\w*|senza|rifiut\w*|sbagliat\w*",
        r"não|nao|nenhum\w*|sem|recus\w*|niet|geen|nooit|zonder|fout\w*|nigdy|bez|odmawia\w*|błędn\w*",
        r"не|нет|ни|без|никогда|отказыва\w*|неверн\w*|değil|yok|hayır|yanlış|inte|ingen|inget|aldrig|vägrar"
        r"|utan|ikke|ei",
        r"لا|لن|ليس|لم|نहीं|नहीं|मत",
    )
    + r")(?!\w)|不|没|沒|無い|无法|無法|拒|并非|ません|ない|않|못|없|안 ",
    IGNORECASE,
)
FORM_WORDS = (
    r"comment\w*|knowledge|assumptions?|guess\w*|delay|changes?|loss|problem\w*|problème\w*|doubts?|doute"
    r"|zweifel|expla\w+|markdown|prose|text\w*|words?|preamble"
    r"|formatting|fences?|backticks?|code|ado"
    r"|additions?|extras?"
    r"|notes?|remarks?|fluff|erklärung\w*|erläuterung\w*|kommentar\w*|umschweife|zusätz\w*|texte?"
    r"|commentaires?|explications?"
    r"|comentarios?|explicaci\w+|texto\w*|rodeos|commenti|spiegazion\w+|testo|comentários?|explicaç\w+"
    r"|tekst\w*|uitleg"
    r"|opmerking\w*|komentarz\w*|wyjaśnie\w+|текст\w*|пояснени\w*|комментари\w*|förklaring\w*|kommentarer"
)
WITHOUT_MORE = Pattern(
    r"(?<!\w)nothing (?:else|more|further|to add)|(?<!\w)(?:no|not|without|ohne|kein\w*|sans|aucun\w*|sin"
    r"|ningun\w*|ningún|senza|nessun\w*|sem|nenhum\w*"
    r"|zonder|geen|bez|без"
    rf"|utan|inga)(?:\s+[\w-]+){{0,3}}?\s+(?:{FORM_WORDS})",
    IGNORECASE,
)
"""A negation that is about the form of the reply: "without any further explanation"."""

YOU_ASKED = Pattern(
    r"(?<!\w)(?:(?:that|which|as|what|like) )?you(?:['’]ve| have|['’]d)? (?:asked(?: me)?(?: for| to)?"
    r"|requested|want(?:ed)?|need(?:ed)?|specified|described"
    r"|defined|gave(?: me)?|given|provided|sent(?: me)?|shared|required|expect(?:ed)?)(?!\w)"
    r"|(?:the |an? |your )?(?:given |provided )?(?:example|template|sample)s? (?:you|that you|in your"
    r"|from your|in the prompt|above)",
    IGNORECASE,
)
"""Words about the request; they give the value to nobody else."""

ATTRIBUTES = _words(
    r"attack\w*|inject\w*|hidden|malicious\w*|forged|planted|smuggled|jailbreak\w*|phish\w*|spammer\w*"
    r"|scammer\w*|intruder",
    r"(?:the|an?|his|her|their|its|your|some(?:one|body)?|he|she|they|it|who(?:ever)?|someone"
    r"|somebody)(?: [\w'’-]+){0,6}?"
    r" (?:says?|said|wrote|writes|reads|contain(?:s|ed)?|states?|stated|claim(?:s|ed)?|asks?|asked for"
    r"|wants?|wanted|tells?|told|demand(?:s|ed)?|instruct(?:s|ed)|orders?|suggest(?:s|ed)?|insist(?:s|ed)?"
    r"|quot(?:es?|ed)"
    r"|put|sent|added|inserted|pasted|tries|tried|expects?)",
    r"quot(?:e[sd]?|ing|ation)|verbatim|example|examples|e\.g|for instance|such as|sample|template|placeholder"
    r"|hypothetical\w*"
    r"|would (?:be|look|have)|could (?:be|look)|might|if i (?:were|was|had)|supposed to|pretend\w*|forced"
    r"|tricked|draft"
    r"|previous\w*|earlier|old|original|guess|ignored?|ignoring|forbidden|the opposite",
    r"schreibt|sagt|behauptet|verlangt|dit|écrit|demande|affirme|contient|dice|escribe|pide|contiene|scrive"
    r"|chiede|diz|escreve|pede|contém|schrijft|zegt"
    r"|vraagt|pisze|mówi|napisan\w+|сказано|пишет|говорит|написал\w*|skriver|säger|siger|yazmış|yazıyor|diyor",
    r"zitat\w*|zitiert?|beispiel\w*|versteckt\w*|angreifer\w*|citation|cité\w*|exemple|caché\w*|attaquant|cita"
    r"|ejemplo|oculto"
    r"|atacante|esempio|nascost\w*|exemplo|escondid\w*|voorbeeld|verborgen|przykład\w*|ukryt\w*|пример\w*"
    r"|скрыт\w*|цитат\w*",
)
"""Words of a lead-in that give the value to somebody else, or to no one."""

UNSPACED_ATTRIBUTES = Pattern(
    r"引用|例如|例子|示例|攻击|攻擊|隐藏|隱藏|说|写道|要求我|たとえば|例えば|例:|例：|攻撃|隠|예:|예를|예시|공격|숨겨"
)

COURTESY_BEFORE = Pattern(
    r"[^\w]*+(?:"
    + _table(
        r"sure(?: thing)?|of course|certainly|absolutely|definitely|ok(?:ay)?|got it|understood|done"
        r"|thanks?(?: you)?|great|right"
        r"|all ?right|yes|no problem|gladly|happy to help|with pleasure|you(?:['’]re| are) (?:right|welcome)"
        r"|good question|hello|hi",
        r"(?:i['’]?m |i am |my )?(?:very |so |sincer\w+ )?(?:sorry|apolog\w+)(?: (?:for|about) (?:the|that|my|any)"
        r" (?:[\w'’-]+ ){0,2}(?:mix-?up|confusion|error|mistake|delay|misunderstanding|inconvenience|format\w*"
        r"|oversight))?",
        r"i (?:see|understand)|let me help|i can help with that|task complete|classification complete"
        r"|extraction complete",
        r"klar|gerne?|natürlich|sicher|selbstverständlich|verstanden|entschuldig\w+(?: (?:für|wegen) [\w ]{1,30})?",
        r"bien sûr|d['’]accord|avec plaisir|certainement|compris|entendu|désolé[\w ]{0,30}",
        r"claro(?: que sí)?|por supuesto|desde luego|entendido|de acuerdo|con gusto|perfecto|listo",
        r"certo|certamente|va bene|ecco|capito|volentieri|com certeza|claro que sim|certamente|entendi|pronto",
        r"natuurlijk|zeker|prima|graag|oczywiście|jasne|dobrze|конечно|хорошо|понятно|självklart|javisst"
        r"|selvfølgelig|tabii(?: ki)?"
        r"|elbette|tentu|dĩ nhiên|jistě|persze",
        r"当然(?:可以)?|好的|没问题|沒問題|可以|明白了?|もちろんです|もちろん|はい|承知(?:いたし|し)ました|かしこまりました|물론입니다|물론이죠|네|알겠습니다",
        r"بالتأكيد|بالطبع|حسنا|ज़रूर|बिल्कुल|ठीक है",
    )
    + r")(?:[\s,!.。！，、~:)—–-]|[^\w\s])*+",
    IGNORECASE,
)
"""A finished courtesy at the beginning of a text."""

FINAL = Pattern(
    r"[^\w]*+(?:(?:here|this) (?:is|are)|here['’]s)?\s*+(?:(?:the|my|hier ist|voici|la|le|el|il|a|die|das)\s+)*+(?:"
    + _table(
        r"(?:final|corrected|revised|correct) (?:and (?:final|corrected|correct) )?"
        r"(?:answer|json|result|output|version|response|object|value)(?: is)?|final|corrected|correction",
        r"(?:endgültig\w*|korrigiert\w*) (?:antwort|json|ergebnis|ausgabe|version|fassung)|korrigiert|korrektur",
        r"(?:réponse|version|résultat) (?:finale?|définitive|corrigée?)|json corrigé|corrigé",
        r"(?:respuesta|versión|resultado) (?:final|definitiv[oa]|corregid[oa])|json corregido",
        r"(?:risposta|versione|risultato) (?:finale|definitiv[oa]|corrett[oa])|json corretto",
        r"(?:resposta|versão|resultado) (?:final|definitiv[oa]|corrigid[oa])|json corrigido",
        r"definitie(?:f|ve) (?:antwoord|versie)|gecorrigeerd\w* (?:json|antwoord|versie)|ostateczna odpowiedź"
        r"|poprawiona \w+",
        r"окончательный ответ|исправленн\w+ (?:ответ|json|версия)|slutligt svar|rättat svar|nihai (?:yanıt|cevap)",
        r"最终答案|最終答案|修正后的?(?:答案|json|结果)|最終回答|最終的な回答|修正版|최종 (?:답변|정답|답)|수정된 (?:답변|json)",
    )
    + r")\s*+[*_`#)]*+\s*+(?:[:：][*_`]*+|\Z)",
    IGNORECASE,
)
"""A label that names the one answer among several."""

# ------------------------------------------------------------------------------------------------- after a value

CONDITION = Pattern(
    r"(?<!\w)(?:if|whether|in case|unless|should (?:there|you|any|anything|something)|(?:tell|show) me (?:what"
    r"|where|which|when)"
    r"|falls|wenn|ob|sollten?|si|se|caso|als|indien|mocht\w*|jeśli|gdy\w*|czy|если|eğer|om|ifall|hvis|jos"
    r"|pokud|ha|jika|nếu|إذا|यदि|अगर)"
    r"(?!\w)[^,.;!?\n。！？，]*+|(?:如果|如有|如需|若|もし|만약|何か|혹시)[^.;!?\n。！？，、]*+",
    IGNORECASE,
)
"""What a sentence only supposes: "if something is wrong" takes nothing back."""

_BEFORE_A_CLAUSE = (
    "and but so because since though although think thought believe suspect fear afraid say know see realise realize sure"
).split()
_NO_RELATIVE = "|".join(["(?<![a-z] )", *(f"(?<={word} )" for word in _BEFORE_A_CLAUSE)])
"""Where "that" is no relative pronoun: "tags that are not in the text" says nothing of the value."""

_THE_ANSWER = (
    r"(?:the|my|this|that|your)(?: [\w-]+){0,2}?"
    r" (?:above|json|answer|result|output|response|reply|object|values?|label|verdict|total|classification"
    r"|data|numbers?|figures?)"
)
_SUBJECT = rf"(?:(?:{_NO_RELATIVE})(?:that|which)|this|it|these|those|above|{_THE_ANSWER})"
_BAD = (
    r"(?:wrong|incorrect|invalid|inaccurate|false|mistaken|untrue|off|bogus|nonsense|rubbish|a lie|outdated"
    r"|fake|a mistake|an error"
    r"|a (?:wild |rough |mere )?guess|guesswork|a draft|an example|a sample|a placeholder|a joke|a test"
    r"|a trick|(?:all )?made[- ]up"
    r"|invented|fabricated|fictional|hypothetical|only (?:an example|a draft|a guess)|not|never|nonsensical"
    r"|unverified|tentative"
    r"|provisional|preliminary|incomplete|unfinished|truncated|missing|what (?:i|the|they|he|she|you|it|an?"
    r"|some)\b.{0,40}?"
    r"(?:want\w*|ask\w*|said|say\w*|told|demand\w*|instruct\w*|attack\w*|inject\w*))"
)
RETRACTS = Pattern(
    r"\A[^\w]*+(?:(?:oh|ah|hmm+|ok|okay|but|well|sorry|no|uh|um|und|et|y|e)(?!\w)[\s,.!…—–-]*+)*+(?:"
    + _table(
        r"wait|oops|whoops|hold on|hang on|actually|erratum|scratch|strike|never ?mind|on second thought"
        r"|my (?:bad|mistake|error)"
        r"|ignore|disregard|forget|discard|please (?:ignore|disregard|discard)|(?:just |only )?(?:kidding"
        r"|joking)|nope|or (?:rather|maybe|not)"
        r"|do(?: not|n['’]t) (?:use|trust|rely|take|believe)|not (?!(?:mentioned|included|found|specified"
        r"|provided|stated|given|available"
        r"|applicable)\b)|i(?: was|['’]m| am) wrong|i (?:mis\w+|take (?:that|it) back|meant|lied|retract\w*"
        r"|withdraw\w*)|redacted",
        r"moment(?: mal)?|nein|stopp?|quatsch|ach|vergiss\w*|ignorier\w*|verwirf|attende[zs]|non|oups"
        r"|oublie[zs]?|ignore[zs]?|espera"
        r"|ups|perdón|olvid\w+|aspett[ai]|ops|scusa\w*|espere|desculp\w*|wacht|nee|oeps|negeer|chwila|czekaj"
        r"|nie|стоп|подождите|нет|ой"
        r"|vänta|nej|vent|dur(?:un)?|hayır|bekle\w*|počkej|ne|tunggu|khoan|odota",
    )
    + r")(?!\w)|\A[^\w]*+(?:edit|update|correction|errata?|fix|korrektur|berichtigung|nachtrag|rectification|correc[tc]i[oó]n\w*"
    r"|correzione|correção|retificação|correctie|poprawka|korekta|исправление|поправка|rättelse|rettelse"
    r"|düzeltme|oprava|koreksi"
    r"|korjaus)\s*+\d*+\s*+[:：.—–-]|(?<!\w)(?:"
    + _table(
        rf"{_SUBJECT} (?:is|was|are|were|looks?|seems?|sounds?|(?:might|may|could|must|can"
        rf"|will) (?:well )?be)(?: [\w'’-]+){{0,2}}?"
        rf" {_BAD}|{_SUBJECT} (?:is|was|are|were|does|do|did|would|could|should|ca|wo)n['’]t"
        rf"|{_SUBJECT} (?:does|do|did|will|would|can) not"
        rf"|that['’]s (?:[\w'’-]+ ){{0,2}}?{_BAD}|it['’]s (?:[\w'’-]+ ){{0,1}}?{_BAD}",
        r"should (?:be|have been|read|say) (?:[$€£\"'`]?[0-9][0-9.,]*+|changed|corrected|different|replaced|removed"
        r"|ignored|disregarded|discarded|"
        r"rejected|treated|checked|verified|not)",
        rf"(?:ignore|disregard|discard|forget|retract|withdraw|revoke) {_THE_ANSWER}(?: above| below)?",
        r"not (?:the|a|an|my|your) (?:[\w-]+ ){0,2}?(?:answer|result|output|response|reply|value|verdict|label)",
        r"scratch that|strike that|take (?:that|it|this) back|on second thought|let me (?:fix|correct|redo"
        r"|revise|reconsider|re-?check"
        r"|double-?check|re-?calculate|re-?count|try again|start over|rephrase|update)|i (?:made|make) (?:a|an"
        r"|some) (?:\w+ )?(?:mistake|error)s?"
        r"|wait,|oops|placeholder values?|for illustration\w*|hypothetical|example only|(?:only"
        r"|just) (?:an example|a draft|a guess|a test)",
        r"not (?:so |very |entirely |quite |fully |100 ?% )?(?:sure|certain|confident|final|verified"
        r"|convinced)|unsure|uncertain|no idea"
        r"|(?:i['’]m|i am|just|only) guess\w*|guess(?:ing|work)|might be wrong|may be wrong|could be wrong"
        r"|need(?:s)? to be (?:checked"
        r"|verified|corrected|changed|confirmed|reviewed)|don['’]t know (?:if|whether)|take (?:it|this|that) with",
        r"to be continued|continue(?:s|d)? (?:in|on|below)|next (?:message|part|reply)|more to (?:come|follow)"
        r"|and so on|truncated|cut off"
        r"|part \d+ of|remaining (?:items|entries|rows|lines) (?:are |were )?omitted|\d+ more (?:items|entries"
        r"|rows|lines|records)?",
        r"(?:stimmt|passt|gilt)(?: \w+){0,3} nicht|(?:ist|war|wäre)(?: \w+){0,2} (?:falsch|inkorrekt|unrichtig"
        r"|ungültig|geraten|erfunden)"
        r"|(?:das|dies|es) (?:ist|war|wäre)(?: \w+){0,2} (?:nicht|kein\w*|nur ein (?:beispiel|entwurf))"
        r"|mich (?:geirrt|vertan|verrechnet|verzählt"
        r"|verlesen)|richtig (?:ist|wäre|lautet)|doch nicht|nicht (?:verwenden|sicher|ganz sicher)",
        r"c['’](?:est|était)(?: \w+){0,2} (?:faux|inexact|incorrect|erroné|une erreur|un exemple)|n['’](?:est"
        r"|était) pas|en fait|je me suis"
        r" tromp\w+|(?:une|mon) erreur|ne tenez pas compte|(?:faut|fallait) lire|pas (?:sûr|certain)\w*|devrait être",
        r"(?:es|está|era|son)(?: \w+){0,2} (?:incorrect[oa]s?|fals[oa]s?|equivocad[oa]s?|mal|erróne[oa]s?)"
        r"|no (?:es|era|está)"
        r" (?:correct[oa]|ciert[oa]|verdad|así|ese|eso|segur[oa])|en realidad|me (?:he )?equivo\w+|error mío"
        r"|debería ser|no estoy segur[oa]",
        r"(?:è|era)(?: \w+){0,2} (?:sbagliat[oa]|errat[oa]|fals[oa]|scorrett[oa])|non è (?:corrett[oa]"
        r"|giust[oa]|vero|così)|in realtà"
        r"|mi sono sbagliat[oa]|errore mio|dovrebbe essere|non sono sicur[oa]",
        r"(?:é|está|era)(?: \w+){0,2} (?:errad[oa]|incorret[oa]|fals[oa])|não (?:é|está|era) (?:corret[oa]"
        r"|cert[oa]|verdade|assim)"
        r"|na verdade|me enganei|enganei-me|erro meu|deveria ser",
        r"klopt(?: \w+){0,2} niet|(?:is|was)(?: \w+){0,2} (?:fout|onjuist|verkeerd)|vergist|vergissing|eigenlijk",
        r"to (?:jest )?(?:błąd|nieprawda|błędne|niepoprawne)|nie zgadza|pomyłka|pomyli\w+|powinno być|właściwie",
        r"неверно|неправильно|не верно|не так|ошибка|неправда|ошиб(?:ся|лась|ка)|на самом деле|должно быть"
        r"|не уверен\w*",
        r"(?:är|er)(?: \w+){0,2} (?:fel|feil|forkert|galt)|(?:stämmer|stemmer|passer) (?:inte|ikke)|yanlış"
        r"|hatalı|doğru değil|aslında"
        r"|špatně|omyl|není správně|salah|téves|hibás|väärin|خطأ|تصحيح|غير صحيح|تجاهل|गलत|ग़लत",
    )
    + r")(?!\w)|错误的|錯誤的|不对|不對|错了|錯了|有误|有誤|不正确|更正|等等|等一下|忽略|作废|应(?:该)?(?:是|为)|應該是"
    r"|其实|其實|实际上|弄错|搞错|说错|算错|看错|并不是"
    r"|間違|誤り|訂正|違います|違った|正しくは|正しくありません|無視|待って|取り消|実は|やっぱり|틀렸|잘못|정정|아닙니다|무시|잠깐|실수|취소|사실은",
    IGNORECASE,
)
"""A sentence that takes the value back, doubts it, says it is no answer, or that it goes on elsewhere."""

_EXCUSED_VERBS = (
    r"(?:\W+[\w'’]+){0,3}?\W+(?:add\w*|includ\w*|comment\w*|chang\w*|alter\w*|modif\w*|explain\w*|find|found"
    r"|see|invent\w*|infer\w*"
    r"|assum\w*|wrap\w*|translat\w*|convert\w*|round\w*|remov\w*|extract\w*|locat\w*|identif\w*|detect\w*"
    r"|elaborat\w*|repeat\w*|omit\w*)"
)
REFUSES = Pattern(
    r"(?<!\w)(?:"
    + _table(
        r"(?:i|we)(?:\W+(?:really|simply|just|still|also|therefore|hence|must|have to|do|will|would|am|are|was"
        r"|were)){0,2}(?:\W+|['’](?:m|re|ll|d|ve) )"
        r"(?:(?:can|could|wo|would|must|may|shall|should|do|did|will|am|are|have|was|were)(?:no?t|n['’]t| not"
        r"| never|['’]t)"
        rf"(?!{_EXCUSED_VERBS})|not(?!{_EXCUSED_VERBS})|unable to(?!{_EXCUSED_VERBS})"
        rf"|never(?!{_EXCUSED_VERBS})|refus\w+|declin\w+|reject\w*"
        r"|object\w*|disagree\w*)",
        r"(?:as an ai|against (?:my|the|our) (?:rules|polic\w+|guidelines)|(?:my|our|the) (?:rules|polic\w+"
        r"|guidelines) (?:forbid|prohibit|do not)\w*"
        r"|not (?:allowed|permitted|able|willing|going|comfortable|prepared)|out of the question|by no means"
        r"|under no circumstances"
        r"|(?:was|were|am|been|being) (?:told|asked|instructed|tricked|forced|ordered) to|prompt injection"
        r"|injection|attacker\w*|malicious\w*)",
        r"ich (?:kann|werde|darf|möchte|will|muss|lehne|weigere)(?: [\w-]+){0,6} (?:nicht|ab|mich|kein\w*"
        r"|ablehnen)|weigere mich",
        r"je (?:ne|n['’])\W?(?:peux|vais|veux|dois|suis|saurais)?|je refuse|je me refuse",
        r"no (?:puedo|voy a|debo|quiero|podemos)|me niego|me niego a|rechazo|non (?:posso|voglio|devo)|mi rifiuto",
        r"não (?:posso|vou|devo|quero|podemos)|recuso|ik (?:kan|zal|wil|mag|weiger)(?: \w+){0,5} niet"
        r"|ik weiger|nie (?:mogę|będę|chcę)|odmawiam",
        r"(?:я )?(?:не (?:могу|буду|стану|хочу)|отказываюсь)|jag (?:kan|vill|tänker)(?: \w+){0,2} inte"
        r"|jag vägrar|jeg (?:kan|vil) ikke",
        r"لا (?:أستطيع|يمكنني)|लिए असमर्थ",
    )
    + r")(?!\w)|不能|无法|無法|不会|拒绝|拒絕|できません|お断り|いたしかねます|할 수 없|거부|거절|yapamam|edemem|reddediyorum",
    IGNORECASE,
)
"""A sentence in which the writer declines; what is not added or not found is no refusal."""

GIVES = Pattern(
    r"(?<!\w)(?:giv\w+|return\w*|provid\w+|produc\w+|output\w*|answer\w*|say\w*|writ\w+|send\w*|comply\w*"
    r"|compl[yi]\w*|do (?:that|this|it|so)"
    r"|help\w*|assist\w*|follow\w*|obey\w*|confirm\w*|approv\w+|endors\w+|issu\w+|accept\w*|fulfil\w*"
    r"|generat\w+|grant\w*|agree\w*|certif\w+"
    r"|sign\w*|repeat\w*|respond\w*|report\w*|allowed|permitted|refus\w+|declin\w+|rules|polic\w+|injection"
    r"|antworten|geben|ausgeben|bestätigen"
    r"|helfen|zurückgeben|weigere|donner|fournir|répondre|aider|refuse|dar|responder|ayudar|proporcionar|niego"
    r"|fornire|rispondere|aiutare"
    r"|fornecer|ajudar|geven|helpen|weiger|ответить|помочь|дать|выполнить|podać|pomóc)(?!\w)|提供|回答|帮助|协助|输出"
    r"|お答え|提供|도와|제공",
    IGNORECASE,
)
"""What a refusal before the value is about, as against a caveat: "I cannot confirm this" and "I cannot open links"."""

COURTESY_AFTER = _opening(
    r"all (?:done|set|good)\b|any questions|best,|i (?:can|could) (?:also|gladly|happily|provide|help|explain"
    r"|add|adjust|convert|export)\b|you (?:can|may|could|are free to) (?:now |also |directly |simply )?(?:copy"
    r"|use"
    r"|paste|parse|load|import|save|feed|edit)"
    r"|need (?:anything|more|help|something)|just (?:ask|let me|say|tell)|(?:please )?do(?: not"
    r"|n['’]t) hesitate|there (?:is|are|was|were) no(?:thing)?\b"
    r"|let me know|tell me|please (?:let me|tell|note|feel|reach|see)|feel free|(?:i )?hope (?:this|that|it"
    r"|you)|i['’]?(?: a)?m happy to|happy to"
    r"|glad to|is there anything|would you like|(?:do you (?:need|want)|shall i|should i|can i"
    r"|may i)[^?\n]{0,80}?(?:help|assist|else|another"
    r"|more|further|other|adjust|format|explain|convert|process)|anything else|thank|you['’]?re welcome|enjoy"
    r"|have a (?:nice|great|good)"
    r"|cheers|done\b|that['’]?s (?:all|it|everything)\b|that is (?:all|everything)\b|no (?:further|other"
    r"|additional|more|explanation|comment)\b"
    r"|nothing (?:else|was added|more)|end of (?:json|output|answer|response|reply)|best regards|kind regards"
    r"|as (?:requested|you asked|specified)"
    r"|per your|sorry for (?:the|any)|apologies for (?:the|any)|looking forward|good luck|is the (?:final "
    r"|correct )?(?:answer|result|json)\b"
    r"|if (?:you|there|any|something|needed)|in case you|should you",
    r"lass(?:en sie)? (?:es )?mich|sag\w* (?:sie )?(?:mir )?|(?:ich )?hoffe|gerne?\b|bei (?:weiteren "
    r"|rück)?fragen|falls|wenn (?:sie|du|etwas)"
    r"|melde\w*|vielen dank|danke|viel (?:erfolg|spaß)|das ist alles|das war alles|fertig|sonst noch"
    r"|kann ich (?:sonst|noch|ihnen)",
    r"n['’]hésite|dites[- ](?:le[- ])?moi|dis[- ]moi|j['’]espère|si (?:vous|tu|besoin)|merci|bonne|voilà"
    r"|c['’]est tout"
    r"|souhaite[zs]|avez[- ]vous besoin"
    r"|faites[- ]moi|je reste|puis-je",
    r"espero|av[ií]s[ae]|dime|dígame|si (?:necesit|tienes|tiene|dese|quier|hay)|gracias|no dude|eso es todo"
    r"|necesit\w+|quier\w+|algo más|hay algo"
    r"|hágame|hazme",
    r"spero|fammi sapere|fammelo|me lo faccia|mi faccia|se (?:hai|ha|serve|desider|vuoi|ti|ci)|grazie|non esit"
    r"|è tutto|hai bisogno"
    r"|posso (?:aiut|fare)|c['’]è altro",
    r"av[ií]se|me (?:avise|diga)|se (?:precisar|quiser|tiver|desejar|houver)|obrigad|não hesite|é (?:tudo"
    r"|isso)|posso ajudar|precisa de|fico à",
    r"laat (?:het )?(?:me|mij)|hopelijk|ik hoop|als (?:je|u|er)|bedankt|dank|dat is alles|nog iets"
    r"|daj(?:cie)? znać|mam nadzieję|jeśli|dziękuję"
    r"|to wszystko|czy (?:mogę|potrzebujesz)|дайте знать|надеюсь|если|спасибо|это вс[её]|обращайтесь|сообщите|готово",
    r"umarım|başka|yardımcı|teşekkür|isterseniz|(?:jag )?hoppas|låt mig|säg till|tack|hör av|(?:jeg )?hå[bp]er"
    r"|lad mig|la meg|sig til|si ifra|takk?\b"
    r"|semoga|jika|terima kasih|hy vọng|nếu|cảm ơn|сподіваюся|якщо|дякую|doufám|pokud|děkuji|remélem|köszön"
    r"|toivottavasti|kerro|kiitos",
    r"以上(?:信息|内容|数据|結果|结果)|希望|如果|如有|如需|若|请告诉|請告訴|请随时|谢谢|感謝|感谢|还有|还需要|需要我|完成|以上です|お役に立て|何か|ご不明|ご質問|他に|よろしく"
    r"|ありがとう|必要(?:で|が)"
    r"|도움이|문제가|알려|추가로|더 필요|감사|궁금|필요하|آمل|أخبرني|إذا|شكرا|هل|आशा|कृपया|यदि|अगर|धन्यवाद",
)
"""A sentence after the value that is about neither it nor its subject."""

EXPLAINS = Pattern(
    r"[^\w]*+\*\*[^*\n]{1,60}+\*\*|\s*+#{1,6}\s|[^\w¿]*+(?:"
    + _table(
        r"(?:(?:a|few|some|couple|of|quick|brief|short|additional|other|key|important"
        r"|further) ){0,3}(?:observations?|remarks?|points?|comments?"
        r"|insights|caveats?|considerations|takeaways|highlights|background|note|notes|explanation"
        r"|explanations|reason|reasons|reasoning|rationale"
        r"|justification|why|source|sources"
        r"|evidence|confidence|analysis|assumptions?|details|summary|breakdown|comment|p\.?s|legend|context)\b",
        r"(?:this|the|these|those|your|each|all|every|both|only|any)(?: [\w-]+){0,2}? (?:json|object|output"
        r"|result|response|answer|classification"
        r"|extraction|fields?|values?|keys?|schema|format|structure|properties|entries|items|list|array"
        r"|labels?|amounts?|dates?|numbers?)\b",
        r"(?:i|i['’]ve|we)(?: have|['’]ve|ve)? (?:also |only |just )?(?:chose|chosen|used|extracted|classified"
        r"|set|left|picked|assumed|inferred|took|taken"
        r"|read|found|identified|kept|followed|included|omitted|formatted|converted|added|made sure|ensured"
        r"|based|selected|determined|labell?ed|rated"
        r"|wrapped|returned|removed|skipped|counted|(?:did|could|will|have|do) not|(?:did|could|wo|have|do)n['’]t)\b",
        r"(?:generated|extracted|taken|derived|classified|computed|calculated|produced|created|based"
        r"|sourced) (?:from|by|with|using|on|according)\b"
        r"|based on\b|because\b|since\b|according to\b|in this (?:case|json)\b|here,? (?:the|i)\b|it (?:follows"
        r"|contains|includes|has|uses|matches|conforms)\b"
        r"|follows\b|conforms\b|validated?\b|where\b",
        r"hinweise?\b|anmerkung\w*|erklärung\w*|begründung\w*|grund\b|erläuterung\w*|quelle\b|dieses (?:json"
        r"|objekt)|diese (?:antwort|ausgabe)"
        r"|alle (?:felder|werte|angaben)|ich habe\b|basierend\b",
        r"remarques?\b|explication\w*|raison\w*|justification|source\b|ce json|cet objet|cette réponse"
        r"|tous les champs|j['’]ai\b",
        r"notas?\b|explicación\w*|raz[óo]n\w*|motivo\w*|justificación|fuente\b|este json|esta respuesta"
        r"|todos los|he (?:usado|extraído|clasificado)",
        r"spiegazion\w*|nota\b|note\b|motivazion\w*|fonte\b|questo json|tutti i|ho (?:usato|estratto"
        r"|classificato)|explicaç\w+|observaç\w+|justificativa"
        r"|toelichting|uitleg|opmerking\w*|reden\b|dit json|alle velden|ik heb\b|uwaga|wyjaśnienie"
        r"|uzasadnienie|powód",
        r"примечание|пояснение|объяснение|обоснование|причина|источник|данный json|все поля|я (?:использовал"
        r"|извлек|выбрал)\w*|açıklama|förklaring"
        r"|motivering|obs\b|forklaring|begrunnelse|bemærk\w*|merk\b|penjelasan|giải thích|vysvětlení"
        r"|magyarázat|selitys",
        r"说明|說明|解释|解釋|备注|備註|注[:：]|注意|理由|原因|该json|此json|所有字段"
        r"|説明|補足|備考|根拠|このjson|すべての|설명|참고|이유|근거|이 json|모든"
        r"|ملاحظة|شرح|السبب|टिप्पणी|व्याख्या|कारण",
    )
    + ")",
    IGNORECASE,
)
"""How an explanation opens; what follows it explains too."""

REFUSAL_OPENS = Pattern(
    r"[^\w]*+(?:"
    + _table(
        r"(?:(?:i['’]?m|i am|we['’]?re|we are)\s+)?(?:very |so |really |truly )?(?:sorry|afraid|unable)\b"
        r"|my apologies|apologies|i apologi[sz]e"
        r"|unfortunately|regrettably|(?:i|we) (?:can(?:no|['’])t|cannot|can not|won['’]t|will not|am unable"
        r"|am not able|must decline|have to decline|decline"
        r"|refuse|do not feel comfortable|don['’]t feel comfortable)\b|as an? (?:ai|large language model"
        r"|language model|assistant)\b|i['’]m (?:not able|unable)",
        r"es tut mir leid|tut mir leid|leider|entschuldig|ich kann|ich darf|je suis désolé|désolé"
        r"|je ne (?:peux|suis)|malheureusement|lo siento"
        r"|lamento|no puedo|desafortunadamente|mi dispiace|non posso|purtroppo|desculp|sinto muito|não posso"
        r"|infelizmente|het spijt me|sorry|helaas"
        r"|ik kan|przepraszam|przykro mi|niestety|nie mogę|извините|к сожалению|простите|я не могу|tyvärr"
        r"|jag kan|beklager|desværre|dessverre"
        r"|üzgünüm|maalesef|maaf|xin lỗi|omlouvám|sajnálom|anteeksi|valitettavasti",
    )
    + r")|[^\w]*+(?:抱歉|对不起|對不起|很遗憾|我(?:不能|无法|無法)"
    r"|申し訳|すみません|ごめん|恐れ入り|죄송|유감|عذر|آسف|क्षमा|माफ़|माफ)",
    IGNORECASE,
)
_HELP = (
    r"help|assist|comply|fulfil\w*|fulfill|provide|answer|respond|complete|process|generate|create|do (?:that"
    r"|this|it|so)|engage|support"
    r"|produce|translate|summari[sz]e|classify|extract|analy[sz]e|access|view|open|read|see|discuss"
    r"|participate|continue|proceed|write|share"
    r"|carry out|perform|give|offer|work|go|make|accommodate|tell|say|repeat|reveal|disclose|browse|handle|accept"
)
DECLINES = Pattern(
    r"(?<!\w)(?:"
    + _table(
        r"(?:can(?:no|['’])t|cannot|can not|could not|couldn['’]t|won['’]t|will not|unable to|not able to"
        r"|not going to|not comfortable|refuse to"
        rf"|not allowed to|not permitted to|not in a position to|must decline to"
        rf"|decline to)(?: \w+)?(?: (?:{_HELP})\w*|\W*\Z)|must decline|have to decline"
        r"|(?:do not|don['’]t) have (?:access|the ability|enough)|not something i can|beyond my|against my"
        r"|i decline|i refuse",
        r"(?:kann|darf|werde)(?: [\w-]+){0,8} nicht(?: [\w-]+){0,6}|nicht (?:helfen|weiterhelfen|möglich"
        r"|beantworten)|ne (?:peux|suis|puis) pas|no puedo|no me es posible|non posso|não posso|não"
        r" consigo|(?:kan|mag)(?: \w+){0,8} niet|nie mogę|не могу|не можу|kan(?: \w+){0,3} (?:inte|ikke)"
        r"|yardımcı olamam|yapamam|tidak (?:bisa|dapat)|không thể"
        r"|nemohu|nem tud\w+|en voi",
    )
    + r")(?!\w)|无法|無法|不能|できません|いたしかね|お答えでき|対応でき"
    r"|할 수 없|수 없습니다|드릴 수 없|لا أستطيع|لا يمكنني|नहीं (?:कर )?सकत",
    IGNORECASE,
)
"""A clause that declines the request."""
