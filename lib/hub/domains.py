"""The values that queries are filled with, for the kinds of value which several categories of the hub share.

Each domain is a sample, not the whole kind: an API takes every common country, and only these are asked about. A fact of one
goal may be fed to another goal whose slot has the same domain, without being listed here. Order is fixed, so that seeds repeat.
"""

from __future__ import annotations

from datetime import date, timedelta

from lib.hub.spec import Value

COUNTRIES = """Afghanistan|Albania|Algeria|Angola|Argentina|Armenia|Australia|Austria|Azerbaijan|Bahrain|Bangladesh|Belarus|
Belgium|Benin|Bhutan|Bolivia|Botswana|Brazil|Bulgaria|Burkina Faso|Burundi|Cambodia|Cameroon|Canada|Chad|Chile|China|Colombia|
Costa Rica|Croatia|Cuba|Cyprus|Czechia|Denmark|Djibouti|Dominican Republic|Ecuador|Egypt|El Salvador|Eritrea|Estonia|Ethiopia|
Fiji|Finland|France|Gabon|Georgia|Germany|Ghana|Greece|Guatemala|Guinea|Guyana|Haiti|Honduras|Hungary|Iceland|India|Indonesia|
Iran|Iraq|Ireland|Israel|Italy|Jamaica|Japan|Jordan|Kazakhstan|Kenya|Kuwait|Kyrgyzstan|Laos|Latvia|Lebanon|Liberia|Libya|
Lithuania|Luxembourg|Madagascar|Malawi|Malaysia|Mali|Malta|Mauritania|Mexico|Moldova|Mongolia|Morocco|Mozambique|Namibia|Nepal|
Netherlands|New Zealand|Nicaragua|Niger|Nigeria|Norway|Oman|Pakistan|Panama|Paraguay|Peru|Philippines|Poland|Portugal|Qatar|
Romania|Rwanda|Saudi Arabia|Senegal|Serbia|Singapore|Slovakia|Slovenia|Somalia|South Africa|South Korea|Spain|Sudan|Sweden|
Switzerland|Tajikistan|Tanzania|Thailand|Togo|Tunisia|Turkey|Uganda|United Kingdom|United States|Uruguay|Uzbekistan|Vietnam|
Zambia|Zimbabwe"""

COUNTRY_CODES = """AF AL DZ AO AR AM AU AT AZ BH BD BY BE BJ BT BO BW BR BG BF KH CM CA TD CL CN CO CR HR CU CY CZ DK DJ DO EC
EG SV EE ET FJ FI FR GA GE DE GH GR GT GN GY HT HN HU IS IN ID IR IQ IE IL IT JM JP JO KZ KE KW KG LA LV LB LR LY LT LU MG MW MY
ML MT MX MD MN MA MZ NA NP NL NZ NI NE NG NO OM PK PA PY PE PH PL PT QA RO RW SA SN RS SG SK SI SO ZA KR ES SD SE CH TJ TZ TH TG
TN TR UG GB US UY UZ VN ZM ZW"""

CITIES = """Abidjan|Abu Dhabi|Accra|Addis Ababa|Adelaide|Algiers|Amman|Amsterdam|Ankara|Antananarivo|Athens|Atlanta|Auckland|
Baghdad|Baku|Bamako|Bangkok|Barcelona|Beijing|Beirut|Belgrade|Berlin|Bishkek|Boston|Bratislava|Brisbane|Brussels|Bucharest|
Budapest|Buenos Aires|Busan|Cairo|Calgary|Canberra|Cape Town|Caracas|Casablanca|Chennai|Chicago|Conakry|Copenhagen|Dakar|Dallas|
Damascus|Dar es Salaam|Delhi|Denver|Detroit|Dhaka|Doha|Dubai|Dublin|Durban|Dushanbe|Edinburgh|Edmonton|Fukuoka|Geneva|Glasgow|
Guangzhou|Hamburg|Hanoi|Harare|Havana|Helsinki|Ho Chi Minh City|Hong Kong|Honolulu|Houston|Islamabad|Istanbul|Jakarta|Jeddah|
Johannesburg|Juba|Kabul|Kampala|Karachi|Kathmandu|Khartoum|Kigali|Kingston|Kinshasa|Kolkata|Krakow|Kuala Lumpur|Kuwait City|
Kyoto|Lagos|Lahore|Lima|Lisbon|Ljubljana|London|Los Angeles|Luanda|Lusaka|Lyon|Madrid|Managua|Manama|Manila|Maputo|Marseille|
Melbourne|Mexico City|Miami|Milan|Minsk|Mogadishu|Monrovia|Montevideo|Montreal|Moscow|Mumbai|Munich|Muscat|Nagoya|Nairobi|
Naples|Nassau|New York City|Nicosia|Osaka|Oslo|Ottawa|Paris|Perth|Phnom Penh|Phoenix|Porto|Prague|Pretoria|Pyongyang|Quito|
Rabat|Reykjavik|Riga|Rio de Janeiro|Riyadh|Rome|Rotterdam|Santiago|Santo Domingo|Sarajevo|Seattle|Seoul|Shanghai|Singapore|
Skopje|Sofia|Stockholm|Sydney|Taipei|Tallinn|Tashkent|Tbilisi|Tehran|Tokyo|Toronto|Tripoli|Tunis|Turin|Vancouver|Vienna|
Vientiane|Vilnius|Warsaw|Wellington|Windhoek|Yangon|Yerevan|Zagreb|Zurich"""

CURRENCIES = """ARS AUD BDT BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR JOD JPY KES KRW KWD MAD MXN MYR
NGN NOK NZD PEN PHP PKR PLN RON RUB SAR SEK SGD THB TND TRY TWD UAH USD VND ZAR"""

LANGUAGES = """Albanian Amharic Arabic Armenian Basque Bengali Bulgarian Catalan Chinese Croatian Czech Danish Dutch English
Estonian Finnish French Georgian German Greek Hebrew Hindi Hungarian Icelandic Indonesian Irish Italian Japanese Korean Latvian
Lithuanian Malay Norwegian Persian Polish Portuguese Romanian Russian Serbian Slovak Slovenian Spanish Swahili Swedish Thai
Turkish Ukrainian Vietnamese Welsh Zulu"""

TIMEZONES = """Africa/Cairo Africa/Johannesburg Africa/Lagos Africa/Nairobi America/Anchorage America/Argentina/Buenos_Aires
America/Bogota America/Caracas America/Chicago America/Denver America/Halifax America/Lima America/Los_Angeles
America/Mexico_City America/New_York America/Phoenix America/Santiago America/Sao_Paulo America/St_Johns America/Toronto
America/Vancouver Asia/Bangkok Asia/Dhaka Asia/Dubai Asia/Hong_Kong Asia/Jakarta Asia/Kabul Asia/Karachi Asia/Kathmandu
Asia/Kolkata Asia/Manila Asia/Riyadh Asia/Seoul Asia/Shanghai Asia/Singapore Asia/Tashkent Asia/Tehran Asia/Tokyo
Atlantic/Azores Atlantic/Reykjavik Australia/Adelaide Australia/Brisbane Australia/Perth Australia/Sydney Europe/Athens
Europe/Berlin Europe/Istanbul Europe/Lisbon Europe/London Europe/Madrid Europe/Moscow Europe/Paris Europe/Rome Pacific/Auckland
Pacific/Fiji Pacific/Honolulu"""

WORDS = """able about above accept account across action active actor actual adapt admire advice afford again agency agree ahead
alarm album alert alive allow almost alone along amount anchor angle animal answer anyone apple arena argue around arrive artist
aspect assist attack autumn avenue average awake balance bamboo banana barrel basket battle beach beauty because become before
begin behind believe beside better beyond bicycle blanket blossom border borrow bottle bottom branch bread breath bridge bright
brother brown bucket budget build burden butter button cabin cactus camera candle canvas carbon career carpet castle catch
center cereal chain chair chance change charge cheese cherry choice circle citizen clean climb clock cloud coast coffee collect
color column common copper corner cotton country courage cousin create cricket culture curtain dancer danger daughter decide
degree deliver desert design dinner doctor dollar double dragon dream driver eagle early earth editor effort eight elbow empire
energy engine enough escape evening example expert fabric factory family famous farmer fashion father feather fellow fiction
field finger flame flavor flight flower follow forest formal fortune fossil freedom friend frozen future galaxy garden garlic
gather gentle ginger global golden gravity green ground guitar habit hammer harbor harvest height hidden history holiday honest
horse hotel hunger insect island jacket jungle kettle kitchen ladder language laugh leader leather lemon lesson letter library
light liquid listen little machine magnet manage marble market master meadow measure member memory middle minute mirror modern
moment monkey morning mother mountain museum nature needle nephew night noble number object ocean office orange order orchard
oyster palace paper parent pencil pepper person picture planet pocket poetry police potato powder prince problem purple puzzle
quality rabbit random reason record ribbon river rocket saddle sailor salmon sample school season second shadow shelter silver
simple single sister smooth soccer spider spring square station storm street summer sunset surface table talent temple theory
thunder ticket timber tomato travel treasure tunnel turtle umbrella valley velvet village violin visitor voyage walnut water
weather whisper window winter wisdom wonder writer yellow zebra"""

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")


def _names(text: str) -> tuple[Value, ...]:
    """The names in text, which may hold spaces and are parted by bars."""
    return tuple(name.strip() for name in text.replace("\n", "").split("|"))


def _dates() -> tuple[Value, ...]:
    """400 dates from 1995 to 2035, 8 to 66 days apart, on every weekday and in every month."""
    first = date(1995, 1, 3)
    return tuple((first + timedelta(days=37 * i + 17 * i % 30)).isoformat() for i in range(400))


SHARED: dict[str, tuple[Value, ...]] = {
    "country_name": _names(COUNTRIES),                                   # short English names
    "country_code": tuple(COUNTRY_CODES.split()),                        # ISO 3166-1 alpha-2
    "city_name": _names(CITIES),                                         # English; the capital, else the largest, is meant
    "currency_code": tuple(CURRENCIES.split()),                          # ISO 4217
    "language_name": tuple(LANGUAGES.split()),                           # English names
    "timezone_name": tuple(TIMEZONES.split()),                           # IANA
    "date": _dates(),                                                    # YYYY-MM-DD
    "year": tuple(range(1990, 2036)),
    "month_number": tuple(range(1, 13)),
    "month_name": MONTHS,
    "small_integer": tuple(range(2, 31)),
    "integer": tuple(range(10, 1000)),
    "number": tuple(round(1.5 + 1.7 * i, 1) for i in range(150)),        # one decimal, 1.5 to 254.8
    "word": tuple(WORDS.split()),                                        # common English words
}
