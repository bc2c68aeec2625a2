"""Units of measure, scales and currencies: one table of how each is spelled in a text and at the end of a field's name.

Sources: SI Brochure (BIPM, 9th edition) tables 2 to 8, NIST SP 811 appendix B for customary units, ISO 4217 for the codes of
currencies, Unicode CLDR 45 for their symbols and for the words. The table fails closed: what it does not list is no unit,
and a number beside it is not read, unless the schema's `x-unit` or the field's own name says the same word.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmguard.core.patterns import Pattern

Units = frozenset[str]
"""The units that a word may mean, by their names in the table: "pounds" are a currency or a mass."""

NO_UNITS: Units = frozenset()

# name | symbols, whose case counts | words, whose case does not
_MEASURES = """
m | m | meter meters metre metres
km | km | kilometer kilometers kilometre kilometres
cm | cm | centimeter centimeters centimetre centimetres
mm | mm | millimeter millimeters millimetre millimetres
um | µm μm um | micrometer micrometers micrometre micrometres micron microns
nm | nm | nanometer nanometers nanometre nanometres
inch | in in. " ″ ” | inch inches
ft | ft ft. ' ′ ’ | foot feet
yd | yd | yard yards
mi | mi | mile miles
nmi | nmi | nautical_mile nautical_miles
kg | kg | kilogram kilograms kilogramme kilo kilos
g | g | gram grams gramme grammes
mg | mg | milligram milligrams
ug | µg μg ug mcg | microgram micrograms
t | t | tonne tonnes metric_ton metric_tons
lb | lb lbs | pound pounds
oz | oz | ounce ounces
s | s sec secs | second seconds sekunden
ms | ms msec | millisecond milliseconds
us | µs μs | microsecond microseconds
ns | ns | nanosecond nanoseconds
min | min mins | minute minutes minuten
h | h hr hrs | hour hours stunden
d | d | day days tage
week | wk wks | week weeks wochen
month | mo mos | month months monate
year | yr yrs | year years jahre
l | l L ℓ | liter liters litre litres
ml | ml mL | milliliter milliliters millilitre millilitres
cl | cl cL | centiliter centiliters centilitre centilitres
dl | dl dL | deciliter deciliters decilitre decilitres
gal | gal | gallon gallons
m2 | m² m2 m^2 sqm | square_meter square_meters square_metre square_metres
km2 | km² km2 km^2 | square_kilometer square_kilometers square_kilometre square_kilometres
cm2 | cm² cm2 |
m3 | m³ m3 m^3 cbm | cubic_meter cubic_meters cubic_metre cubic_metres
cm3 | cm³ cm3 cc |
sqft | sqft sq_ft ft² ft2 | square_feet square_foot
acre | ac | acre acres
ha | ha | hectare hectares
celsius | °C ℃ C | celsius degrees_celsius degree_celsius deg_c
fahrenheit | °F ℉ F | fahrenheit degrees_fahrenheit degree_fahrenheit deg_f
kelvin | K | kelvin kelvins
degree | ° | deg degree degrees
rad | rad | radian radians
km/h | km/h kmh kph kmph km_h | kilometers_per_hour kilometres_per_hour km_per_hour km_per_h
m/s | m/s mps m_s | meters_per_second metres_per_second m_per_s m_per_second
mph | mph mi/h | miles_per_hour
kn | kn kt kts | knot knots
j | J | joule joules
kj | kJ | kilojoule kilojoules
mj | MJ | megajoule megajoules
cal | cal | calorie calories
kcal | kcal | kilocalorie kilocalories
wh | Wh | watt_hour watt_hours
kwh | kWh | kilowatt_hour kilowatt_hours
mwh | MWh | megawatt_hour megawatt_hours
gwh | GWh | gigawatt_hour gigawatt_hours
w | W | watt watts
kw | kW | kilowatt kilowatts
mw | MW | megawatt megawatts
gw | GW | gigawatt gigawatts
milliwatt | mW | milliwatt milliwatts
hp | hp | horsepower
v | V | volt volts
mv | mV | millivolt millivolts
kv | kV | kilovolt kilovolts
a | A | ampere amperes amp amps
ma | mA | milliampere milliamperes milliamp milliamps
mah | mAh | milliampere_hours
ohm | Ω Ω | ohm ohms
hz | Hz | hertz
khz | kHz | kilohertz
mhz | MHz | megahertz
ghz | GHz | gigahertz
rpm | rpm | revolutions_per_minute
bpm | bpm | beats_per_minute
pa | Pa | pascal pascals
hpa | hPa | hectopascal hectopascals
kpa | kPa | kilopascal kilopascals
mpa | MPa | megapascal megapascals
bar | bar | bars
mbar | mbar | millibar millibars
psi | psi |
mmhg | mmHg mm_Hg |
byte | B | byte bytes
kb | kB KB | kilobyte kilobytes
mb | MB | megabyte megabytes
gb | GB | gigabyte gigabytes
tb | TB | terabyte terabytes
kib | KiB | kibibyte kibibytes
mib | MiB | mebibyte mebibytes
gib | GiB | gibibyte gibibytes
bit | bit | bits
kbit | kbit kb | kilobit kilobits
mbit | Mbit Mb | megabit megabits
gbit | Gbit Gb | gigabit gigabits
kbps | kbps kbit/s | kilobits_per_second
mbps | Mbps Mbit/s | megabits_per_second
gbps | Gbps Gbit/s | gigabits_per_second
px | px | pixel pixels
pt | pt pts | point points
db | dB | decibel decibels
mol | mol | mole moles
mmol/l | mmol/l mmol/L |
mg/dl | mg/dl mg/dL |
mg/l | mg/l mg/L |
g/l | g/l g/L |
percent | % ％ pct | percent percents percentage prozent per_cent
permille | ‰ | permille
bp | bp bps | basis_point basis_points
cent | ct cts ¢ c | cent cents
penny | p | penny pence
pcs | pcs pc | piece pieces stück
thousand | k K tsd Tsd | thousand thousands tausend mille
million | m M mn MM Mn mio Mio | million millions millionen
billion | b B bn Bn mrd Mrd bln | billion billions milliarden milliarden milliards
trillion | tn Tn | trillion trillions
hundred | | hundred hundreds
dozen | | dozen dozens
lakh | | lakh lakhs lac
crore | cr Cr | crore crores
"""
SCALES: Mapping[str, int] = {
    "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "hundred": 100, "dozen": 12,
    "lakh": 10**5, "crore": 10**7,
}  # fmt: skip
"""The scales among the units, and what a number beside one is multiplied by (short scale, as CLDR's English has it)."""

_CODES = """
aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd btn bwp byn bzd cad cdf chf clp cny cop
crc cup cve czk djf dkk dop dzd egp ern etb eur fjd fkp gbp gel ghs gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr iqd irr
isk jmd jod jpy kes kgs khr kmf kpw krw kwd kyd kzt lak lbp lkr lrd lsl lyd mad mdl mga mkd mmk mnt mop mru mur mvr mwk mxn
myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sdg sek sgd shp sle sos srd
ssp stn svc syp szl thb tjs tmt tnd top try ttd twd tzs uah ugx usd uyu uzs ves vnd vuv wst xaf xcd xof xpf yer zar zmw zwl
"""
CURRENCIES: Units = frozenset(_CODES.split())
_DOLLARS = "usd cad aud nzd sgd hkd mxn twd bbd bmd bnd bsd bzd fjd gyd jmd kyd lrd nad sbd srd ttd xcd clp cop ars"
_KRONER = "sek nok dkk isk czk"
_SYMBOLS: Mapping[str, str] = {
    "$": _DOLLARS, "€": "eur", "£": "gbp egp fkp gip shp ssp syp", "¥": "jpy cny", "￥": "jpy cny", "₹": "inr", "₽": "rub",
    "₩": "krw kpw", "₺": "try", "₫": "vnd", "₴": "uah", "₪": "ils", "₦": "ngn", "฿": "thb", "₱": "php", "₡": "crc", "₵": "ghs",
    "₸": "kzt", "₾": "gel", "₼": "azn", "₿": "",
}  # fmt: skip
_NAMES: Mapping[str, str] = {
    "us$": "usd", "a$": "aud", "au$": "aud", "c$": "cad", "ca$": "cad", "nz$": "nzd", "hk$": "hkd", "s$": "sgd", "r$": "brl",
    "mx$": "mxn", "nt$": "twd", "kr": _KRONER, "zł": "pln", "zl": "pln", "kč": "czk", "ft": "huf", "fr": "chf xof xaf",
    "sfr": "chf",
    "rs": "inr pkr lkr npr", "lei": "ron mdl", "rp": "idr", "rm": "myr", "dollar": _DOLLARS, "dollars": _DOLLARS, "euro": "eur",
    "euros": "eur", "pound": "gbp egp syp", "pounds": "gbp egp syp", "sterling": "gbp", "yen": "jpy", "yuan": "cny",
    "renminbi": "cny", "rmb": "cny", "rupee": "inr pkr lkr npr", "rupees": "inr pkr lkr npr", "franc": "chf xof xaf",
    "francs": "chf xof xaf", "ruble": "rub", "rubles": "rub", "roubles": "rub", "won": "krw kpw", "peso": "mxn clp cop ars php",
    "pesos": "mxn clp cop ars php", "krona": "sek isk", "kronor": "sek", "krone": "nok dkk", "kroner": "nok dkk",
    "zloty": "pln", "złoty": "pln", "lira": "try", "real": "brl", "reais": "brl", "rand": "zar", "forint": "huf",
    "koruna": "czk", "shekel": "ils", "shekels": "ils", "baht": "thb",
}  # fmt: skip
SYMBOLS = "".join(_SYMBOLS)
"""The characters that are signs of currencies."""

_CASE_COUNTS = frozenset("m" + base for base in (
    "w", "wh", "g", "m", "s", "v", "a", "ah", "hz", "j", "pa", "n", "l", "b", "bit", "ev", "bq", "ohm", "bps", "bit/s", "sv",
)) | frozenset(("kb", "gb", "tb", "m", "g", "c"))  # fmt: skip
"""Symbols, in lower case, that are another unit in another case: milli and mega, bit and byte, metre and million (SI Brochure,
tables 2, 4 and 7). Pairs that nobody writes (pico and peta, hour and henry) are left out: "5 PM" is "5 pm"."""

_BLANKS = Pattern(r"[\s_\u00a0\u202f\u2009]++")


def _tables() -> tuple[dict[str, Units], dict[str, Units], dict[str, Units]]:
    """Symbol as written -> units; word in lower case -> units; last word of a field's name -> units."""
    symbols: dict[str, set[str]] = {}
    words: dict[str, set[str]] = {}
    names: dict[str, set[str]] = {}
    for row in filter(None, _MEASURES.splitlines()):
        name, written, spoken = (part.strip() for part in row.split("|"))
        for symbol in written.split():
            symbols.setdefault(symbol.replace("_", " "), set()).add(name)
            names.setdefault(symbol.replace("_", " ").casefold(), {name})  # the first row that has it
        for word in spoken.split():
            words.setdefault(word.replace("_", " "), set()).add(name)
    for word, codes in (*_SYMBOLS.items(), *_NAMES.items(), *((code, code) for code in CURRENCIES)):
        words.setdefault(word, set()).update(codes.split())
    for word, units in words.items():
        names.setdefault(word, set()).update(units)
    return _frozen(symbols), _frozen(words), _frozen(names)


def _frozen(table: Mapping[str, set[str]]) -> dict[str, Units]:
    return {word: frozenset(units) for word, units in table.items()}


_BY_SYMBOL, _BY_WORD, _BY_NAME = _tables()


def units_of(text: str) -> Units:
    """The units that a text beside a number may mean; none for a text that is no unit.

    >>> sorted(units_of("kg")), sorted(units_of("pounds") & {"gbp", "lb"}), units_of("mW") == units_of("MW"), units_of("chairs")
    (['kg'], ['gbp', 'lb'], False, frozenset())
    """
    written = _BLANKS.sub(" ", text.strip())
    folded = written.casefold()
    units = _BY_SYMBOL.get(written, NO_UNITS) | _BY_WORD.get(folded, NO_UNITS)
    if not units and case_counts(folded):
        return NO_UNITS
    if not units and written.endswith("."):
        return units_of(written[:-1])
    return units or _BY_SYMBOL.get(folded, NO_UNITS) or _BY_NAME.get(folded, NO_UNITS)


def currencies_of(text: str) -> Units:
    """The currencies that a text beside an amount may mean."""
    return units_of(text) & CURRENCIES


def case_counts(word: str) -> bool:
    """Whether a symbol, beside a number, is another unit in another case.

    >>> case_counts("mW"), case_counts("kg")
    (True, False)
    """
    return word.casefold() in _CASE_COUNTS


def units_in_name(words: str) -> Units:
    """The units that a field's name states, as its last word or words, or by a code of a currency that it begins with.

    `words`: the name, in lower case, its words with one blank between.

    >>> sorted(units_in_name("height m")), sorted(units_in_name("usd amount")), units_in_name("price per kg")
    (['m'], ['usd'], frozenset())
    """
    parts = words.split()
    if parts[-2:-1] == ["per"]:  # `price_eur_per_kg` is neither euros nor kilograms
        return _BY_NAME.get(" ".join(parts[-3:]), NO_UNITS)
    for count in (3, 2, 1):
        if len(parts) >= count and (units := _BY_NAME.get(" ".join(parts[-count:]))):
            return units
    return _BY_NAME[parts[0]] if len(parts) > 1 and parts[0] in _LEADING_CODES else NO_UNITS


_LEADING_CODES = frozenset(
    "usd eur gbp jpy chf cad aud nzd sek nok dkk pln czk inr cny krw brl mxn zar sgd hkd".split()
)
"""Codes of currencies that begin a name: those that are no English word, as `all`, `try` and `top` are."""
