"""Sets of examples of many kinds, for leaks that no guard was made with in view."""

# ruff: noqa: RUF001

from __future__ import annotations

import dspy


def _rows(inputs: str, names: str, *rows: tuple) -> list[dspy.Example]:
    given = inputs.split()
    return [dspy.Example(**dict(zip(names.split(), row, strict=True))).with_inputs(*given) for row in rows]


_STATION = (
    "The narrow-gauge line to Hollenbeck was opened in 1894 by the quarry owner Ruprecht Ansell, who needed slate"
    " moved before winter. It carried passengers from 1901 on. A landslide closed the upper section in 1938, and the"
    " last train, drawn by the engine Wilhelmine, ran on 4 March 1951."
)
_ISLAND = (
    "Tern Island has a permanent population of eleven. Its only school closed in 2009, when the teacher, Maeve"
    " Corrigan, retired to the mainland. Fresh water comes from a cistern that was cut into the rock by monks around"
    " 1140, and the mail boat calls on Tuesdays unless the swell exceeds two meters."
)

HELD_OUT_DATA = {
    "hops": _rows(
        "context question",
        "context question answer",
        (_STATION, "Who opened the line to Hollenbeck?", "Ruprecht Ansell"),
        (_STATION, "Which engine drew the last train on the line?", "Wilhelmine"),
        (_ISLAND, "On which day does the mail boat call?", "Tuesday"),
        (_ISLAND, "What did monks cut into the rock around 1140?", "a cistern"),
        (_ISLAND, "Who was the last teacher of the school?", "Maeve Corrigan"),
    ),
    "sql": _rows(
        "schema question",
        "schema question query",
        (
            "CREATE TABLE ferries (id INT, captain TEXT, tonnage REAL, home_port TEXT)",
            "Which captains steer a ferry of more than 900 tons from Piraeus?",
            "SELECT captain FROM ferries WHERE tonnage > 900 AND home_port = 'Piraeus'",
        ),
        (
            "CREATE TABLE orchards (id INT, owner TEXT, hectares REAL, variety TEXT)",
            "How many hectares of quince does every owner have?",
            "SELECT owner, SUM(hectares) FROM orchards WHERE variety = 'quince' GROUP BY owner",
        ),
        (
            "CREATE TABLE shifts (nurse_id INT, ward TEXT, starts_at TIMESTAMP, hours INT)",
            "List the wards where no nurse worked longer than six hours in one shift.",
            "SELECT ward FROM shifts GROUP BY ward HAVING MAX(hours) <= 6",
        ),
        (
            "CREATE TABLE loans (book_id INT, reader TEXT, due DATE, returned DATE)",
            "Name the readers who brought back a book after it was due.",
            "SELECT DISTINCT reader FROM loans WHERE returned > due",
        ),
    ),
    "triage": _rows(
        "befund",
        "befund stufe",
        ("Patient klagt seit drei Tagen über stechende Schmerzen im linken Knie nach einem Sturz vom Rad.", "grün"),
        ("Frau, 71, plötzlich hängender Mundwinkel und verwaschene Sprache seit einer halben Stunde.", "rot"),
        ("Kleinkind mit Fieber von 39,4 Grad, trinkt wenig, reagiert aber lebhaft auf Ansprache.", "gelb"),
        ("Mann, 54, Druck auf der Brust beim Treppensteigen, strahlt in den linken Arm aus.", "rot"),
        ("Bienenstich am Unterarm, leichte Rötung, keine Atemnot, keine bekannte Allergie.", "grün"),
        ("Wiederholtes Erbrechen seit gestern, trockene Zunge, Puls 104, kein Blut im Stuhl.", "gelb"),
    ),
    "mail": _rows(
        "correo",
        "correo tema",
        ("Llevo dos semanas esperando la lavadora que compré y nadie contesta al teléfono.", "entrega"),
        ("Me han cobrado dos veces la cuota de septiembre y quiero que me devuelvan una.", "factura"),
        ("El mando de la persiana dejó de funcionar al tercer día de instalarlo.", "avería"),
        ("Quisiera cambiar la dirección de mi contrato porque me mudo a Teruel en mayo.", "contrato"),
        ("¿Puedo pagar con tarjeta al repartidor o solo en efectivo?", "entrega"),
    ),
    "zh": _rows(
        "问题",
        "问题 答案",
        ("《半生缘》的作者是哪一位女作家？", "张爱玲"),
        ("敦煌莫高窟位于中国的哪个省份？", "甘肃省"),
        ("把三十六个苹果平均分给九个孩子，每人几个？", "四个"),
        ("太湖的水最终流入哪一片海域？", "东海"),
        ("谁在一九六五年首次人工合成了结晶牛胰岛素？", "钮经义"),
    ),
    "ar": _rows(
        "نص",
        "نص موضوع",
        ("افتتح المزارعون سوقًا جديدة للتمور قرب النهر في صباح الجمعة.", "زراعة"),
        ("خسر الفريق مباراته الأخيرة بعد ركلة جزاء في الدقيقة التسعين.", "رياضة"),
        ("أعلنت المكتبة الوطنية عن رقمنة مخطوطات نادرة من القرن العاشر.", "ثقافة"),
    ),
    "logs": _rows(
        "line",
        "line cause",
        ("2021-11-03T04:12:55Z node-17 kubelet: OOMKilled container=ledger-sync rss=2147MiB", "memory"),
        ("2021-11-03T04:13:02Z gw-2 envoy: upstream connect error 10.4.7.21:8443 reset before headers", "network"),
        ("2021-11-03T05:40:19Z db-0 postgres: could not extend file base/16401/2613: No space left", "disk"),
        ("2021-11-03T06:01:44Z node-09 chronyd: clock stepped by -3.7142 seconds", "clock"),
        ("2021-11-03T06:22:10Z auth-1 sshd: 58 failed logins for root from 203.0.113.88", "security"),
    ),
    "icd": _rows(
        "diagnosis",
        "diagnosis code",
        ("closed fracture of the left clavicle, first visit", "S42.022A"),
        ("type 2 diabetes with mild retinopathy", "E11.3299"),
        ("allergic rhinitis caused by pollen", "J30.1"),
        ("migraine with aura, not intractable", "G43.109"),
        ("bee sting, accidental, later visit", "T63.441D"),
    ),
    "choice": _rows(
        "question options",
        "question options answer",
        (
            "A student stirs sugar into hot tea and it vanishes from sight. What has happened to the sugar?",
            "(A) It evaporated. (B) It dissolved. (C) It melted. (D) It burned.",
            "B",
        ),
        (
            "Which animal of the tundra turns its coat white before the first snow?",
            "(A) musk ox (B) lemming (C) arctic hare (D) raven",
            "C",
        ),
        (
            "A magnet is dropped through a copper pipe and falls slowly. Which effect slows it?",
            "(A) friction (B) eddy currents (C) static charge (D) air drag",
            "B",
        ),
        (
            "Why do desert foxes have such large ears?",
            "(A) to hear thunder (B) to lose heat (C) to look bigger (D) to store water",
            "B",
        ),
    ),
    "dates": _rows(
        "input",
        "input target",
        ("Yesterday was 30 April 2021. What is the date tomorrow in MM/DD/YYYY?", "05/02/2021"),
        ("Jane was born on the last day of February in 2001. Today is her 16th birthday. Give the date.", "02/28/2017"),
        ("The concert was delayed by ten days to 6/1/1943. What is the original date?", "05/22/1943"),
        ("It is 4/19/1969 today. What is the date 24 hours later in MM/DD/YYYY?", "04/20/1969"),
        ("Today is Christmas Eve of 1937. What was the date a month ago?", "11/24/1937"),
    ),
    "clauses": _rows(
        "clause",
        "clause kind",
        (
            "Neither party shall be liable for delay caused by flood, strike, or the failure of a public carrier.",
            "force majeure",
        ),
        (
            "The Licensee shall keep the Source Materials secret for five years after this Agreement has ended.",
            "confidentiality",
        ),
        (
            "Any dispute under this Agreement shall be settled by a single arbitrator sitting in Rotterdam.",
            "arbitration",
        ),
        ("Either party may end this Agreement by giving ninety days' notice in writing.", "termination"),
        (
            "The Supplier shall hold the Buyer harmless from all claims of third parties for defective bolts.",
            "indemnity",
        ),
    ),
    "code": _rows(
        "source",
        "source translation",
        (
            "def vowels(s):\n    return sum(c in 'aeiou' for c in s.lower())",
            "const vowels = (s) => [...s.toLowerCase()].filter((c) => 'aeiou'.includes(c)).length;",
        ),
        (
            "def rotate(xs, k):\n    k %= len(xs)\n    return xs[-k:] + xs[:-k]",
            "const rotate = (xs, k) => { k %= xs.length; return [...xs.slice(-k), ...xs.slice(0, -k)]; };",
        ),
        (
            "squares = {n: n * n for n in range(1, limit + 1) if n % 3}",
            "const squares = Object.fromEntries(range(1, limit).filter((n) => n % 3).map((n) => [n, n * n]));",
        ),
    ),
    "capitals": _rows(
        "country",
        "country capital",
        ("Bhutan", "Thimphu"),
        ("Paraguay", "Asunción"),
        ("Eritrea", "Asmara"),
        ("Latvia", "Riga"),
        ("Malawi", "Lilongwe"),
        ("Vanuatu", "Port Vila"),
    ),
    "posts": _rows(
        "post",
        "post mood",
        ("ugh my bus was 40 min late AGAIN 😤 thanks a lot #line7", "angry"),
        ("first sourdough that didn't turn into a brick 🍞🎉", "happy"),
        ("grandpa's watch stopped today, same hour he left us", "sad"),
        ("who put glitter in the printer", "amused"),
        ("can't sleep, the exam results come at nine", "anxious"),
        ("omg yes", "happy"),
    ),
    "words": _rows(
        "problem",
        "problem reasoning answer",
        (
            "A potter glazes 14 bowls an hour and breaks one in seven. How many whole bowls has she after 6 hours?",
            "She glazes 14 * 6 = 84 bowls; a seventh of them, 12, break; 84 - 12 = 72.",
            72,
        ),
        (
            "Kerem's aquarium loses 3% of its 240 liters each week. How much has gone after the first week?",
            "Three percent of 240 liters is 240 * 0.03 = 7.2 liters.",
            7.2,
        ),
        (
            "A choir of 45 has twice as many altos as basses and 15 sopranos. How many altos sing in it?",
            "There are 45 - 15 = 30 others; two thirds of 30 are altos, that is 20.",
            20,
        ),
        (
            "Lucia pays 86 pesos for 4 mangos and a melon of 30 pesos. What does one mango cost?",
            "The mangos cost 86 - 30 = 56 pesos together, and one costs 56 / 4 = 14.",
            14,
        ),
        (
            "Of 1,250 seedlings, 18% died in the frost and 75 were eaten. How many are left to plant?",
            "The frost killed 1250 * 0.18 = 225; 1250 - 225 - 75 = 950.",
            950,
        ),
    ),
    "recipes": _rows(
        "ingredients minutes",
        "ingredients minutes dish",
        (["red lentils", "coconut milk", "lime", "ginger"], 35, "lentil soup with coconut"),
        (["potatoes", "leeks", "cream", "nutmeg"], 50, "vichyssoise"),
        (["rye bread", "herring", "dill", "shallots"], 10, "smørrebrød"),
        (["chickpeas", "tahini", "garlic", "lemon"], 15, "hummus"),
    ),
}
