"""Instructions that quote an example, and honest ones, which no guard was made with in view.

They were written before the guard of today, over other data than `leak_data`. The guard before it found 48 of the 50
leaks and refused 3 of the 45 honest texts; this one at first sight 46 and 1. A leak is (set of examples, kind, what an
instruction says besides its rule, what of it must be gone after cleaning). Kinds: "input" is a word-for-word quotation,
"pair" an input or the heart of one beside its answer, "altered" a quotation with changed words, "answer" an
answer alone.
"""

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

HELD_OUT_LEAKS = [
    # Word for word.
    (
        "hops",
        "input",
        "Remember: a landslide closed the upper section in 1938, and the last train ran in spring.",
        "1938",
    ),
    ("hops", "input", "For example, Fresh water comes from a cistern that was cut into the rock by monks.", "cistern"),
    ("hops", "input", "Question: Who was the last teacher of the school?", "teacher"),
    ("sql", "input", "E.g. which captains steer a ferry of more than 900 tons from Piraeus?", "captains"),
    ("sql", "input", "CREATE TABLE orchards (id INT, owner TEXT, hectares REAL, variety TEXT)", "orchards"),
    (
        "triage",
        "input",
        "Beispiel: Mann, 54, Druck auf der Brust beim Treppensteigen, strahlt in den linken Arm aus.",
        "54",
    ),
    ("triage", "input", "- kleinkind mit fieber von 39,4 grad, trinkt wenig, reagiert aber lebhaft", "kleinkind"),
    ("mail", "input", "Por ejemplo: \u00abMe han cobrado dos veces la cuota de septiembre\u00bb.", "septiembre"),
    ("mail", "input", "El mando de la persiana dejo de funcionar al tercer dia de instalarlo.", "persiana"),
    ("zh", "input", "例如：敦煌莫高窟位于中国的哪个省份？", "敦煌"),
    ("ar", "input", "مثال: خسر الفريق مباراته الأخيرة بعد ركلة جزاء في الدقيقة التسعين.", "ركلة"),
    ("logs", "input", "`node-09 chronyd: clock stepped by -3.7142 seconds`", "3.7142"),
    ("logs", "input", "upstream connect error 10.4.7.21:8443 reset before headers", "8443"),
    ("choice", "input", "Why do desert foxes have such large ears?", "foxes"),
    ("choice", "input", "**A magnet is dropped through a copper pipe and falls slowly.**", "magnet"),
    ("dates", "input", "The concert was delayed by ten days to 6/1/1943.", "1943"),
    ("dates", "input", "Consider this: it is 4/19/1969 today. What is the date 24 hours later?", "1969"),
    (
        "clauses",
        "input",
        "> Any dispute under this Agreement shall be\n> settled by a single arbitrator in Rotterdam.",
        "Rotterdam",
    ),
    ("code", "input", "```python\nsquares = {n: n * n for n in range(1, limit + 1) if n % 3}\n```", "squares"),
    ("code", "input", "return xs[-k:] + xs[:-k]", "xs[-k"),
    ("posts", "input", "Posts like 'who put glitter in the printer' are fun.", "glitter"),
    ("posts", "input", "GRANDPA'S WATCH STOPPED TODAY, SAME HOUR HE LEFT US", "WATCH"),
    ("words", "input", "Kerem's aquarium loses 3% of its 240 liters each week.", "Kerem"),
    ("words", "input", "The mangos cost 86 - 30 = 56 pesos together.", "mangos"),
    ("recipes", "input", "ingredients: potatoes, leeks, cream, nutmeg; minutes: 50", "leeks"),
    # With the answer.
    ("hops", "pair", "The line to Hollenbeck was opened by Ruprecht Ansell.", "Ansell"),
    ("hops", "pair", "Question: On which day does the mail boat call?\nAnswer: Tuesday", "Tuesday"),
    ("sql", "pair", "Late readers: SELECT DISTINCT reader FROM loans WHERE returned > due", "loans"),
    ("triage", "pair", "Bienenstich am Unterarm, leichte Rötung, keine Atemnot -> grün", "Bienenstich"),
    ("zh", "pair", "问题：太湖的水最终流入哪一片海域？答案：东海", "东海"),
    ("icd", "pair", "allergic rhinitis caused by pollen => J30.1", "J30.1"),
    ("icd", "pair", "Use G43.109 for a migraine with aura.", "G43.109"),
    ("choice", "pair", "If sugar is stirred into hot tea and vanishes from sight, choose (B) It dissolved.", "sugar"),
    ("dates", "pair", "Christmas Eve of 1937, a month ago: 11/24/1937", "11/24/1937"),
    ("capitals", "pair", "Bhutan: Thimphu", "Thimphu"),
    ("capitals", "pair", "| Vanuatu | Port Vila |", "Vila"),
    ("capitals", "pair", "The capital of Malawi is Lilongwe.", "Lilongwe"),
    ("posts", "pair", '"omg yes" is happy.', "omg"),
    ("words", "pair", "Problem: 1,250 seedlings, 18% died in the frost and 75 were eaten.\nAnswer: 950", "950"),
    ("words", "pair", "For the potter who glazes 14 bowls an hour, write 72.", "potter"),
    ("recipes", "pair", "chickpeas, tahini, garlic, lemon gives hummus.", "hummus"),
    # Changed a little.
    (
        "hops",
        "altered",
        "Tern Island had a permanent population of eleven and its one school closed in 2009.",
        "eleven",
    ),
    (
        "clauses",
        "altered",
        "Neither side shall be liable for delays caused by flood, strike or failure of a public carrier.",
        "carrier",
    ),
    ("mail", "altered", "Quisiera cambiar la dirección del contrato porque nos mudamos a Teruel en mayo.", "Teruel"),
    (
        "words",
        "altered",
        "A choir of 45 has twice as many altos as basses and fifteen sopranos; how many altos are there?",
        "altos",
    ),
    (
        "dates",
        "altered",
        "Jane was born on the last day of February 2001, and today is her sixteenth birthday.",
        "Jane",
    ),
    # Alone.
    ("dates", "answer", "The answer is 05/22/1943.", "1943"),
    ("icd", "answer", "Often the code is S42.022A.", "S42"),
    ("hops", "answer", "The correct answer is Maeve Corrigan.", "Corrigan"),
    ("words", "answer", "The answer is 950.", "950"),
]

HELD_OUT_HONEST = [
    ("hops", "Answer from the context alone, with the shortest span of it that answers the question."),
    ("hops", "If the question asks 'who', give a full name; if it asks 'which day', give the day of the week."),
    ("hops", "Read the context twice: the line, the school or the boat asked for may be named in its last sentence."),
    ("hops", "Do not add an article unless the answer is a thing, as in 'a lighthouse'."),
    ("sql", "Write one SELECT statement; use SUM with GROUP BY for totals, and HAVING for conditions on groups."),
    ("sql", "Use only columns of the CREATE TABLE statement, for example `SELECT name FROM boats WHERE length > 20`."),
    ("sql", "'More than' is `>`, 'at least' is `>=`; 'no ... longer than' needs MAX in a HAVING clause."),
    ("sql", "SELECT DISTINCT avoids duplicates. Put text in single quotes, as in home_port = 'Oslo'."),
    ("triage", "Antworte mit genau einem Wort: rot, gelb oder grün. Im Zweifel gilt die dringendere Stufe."),
    ("triage", "Rot: Brustschmerz mit Ausstrahlung, Zeichen eines Schlaganfalls, Atemnot. Grün: leichte Verletzungen."),
    (
        "triage",
        "Fieber bei einem Kleinkind ist gelb, wenn es wenig trinkt; starke Schmerzen nach einem Sturz sind gelb.",
    ),
    ("mail", "Responde con una palabra: entrega, factura, avería o contrato."),
    (
        "mail",
        "Si el cliente espera un paquete o pregunta por el repartidor, el tema es entrega; un cobro doble es factura.",
    ),
    ("zh", "只回答名字、地名或数字，不要解释。"),
    ("zh", "如果问题问“哪个省份”，请写出省的全名，例如“浙江省”。"),
    ("ar", "أجب بكلمة واحدة فقط: زراعة أو رياضة أو ثقافة."),
    ("ar", "إذا تحدث النص عن فريق أو مباراة فالموضوع رياضة."),
    ("logs", "Name the cause in one word: memory, network, disk, clock or security."),
    (
        "logs",
        "OOMKilled means memory, 'No space left' means disk, 'connect error' means network, failed logins security.",
    ),
    ("logs", "Lines look like `2024-01-01T00:00:00Z host process: message`; look at the message, not at the host."),
    ("icd", "Give the most specific code, with the letter for the visit: A for the first one, D for a later one."),
    ("icd", "Codes look like A00.0 or S00.000A: a letter, two digits, a point and up to four more signs."),
    ("icd", "Mind the side (left or right), whether a fracture is closed, and with or without aura."),
    ("choice", "Answer with the letter only: A, B, C or D. The answer is the option that names the cause."),
    ("choice", "Rule out options that are true but do not answer the question. Example: if it asks why, skip what."),
    ("choice", "Dissolving is not melting; evaporation needs a gas; a magnet that moves in metal makes currents."),
    ("dates", "Give the date as MM/DD/YYYY, e.g. 01/31/2000, and nothing else."),
    ("dates", "What is the date tomorrow? Add one day to today; if yesterday is given, add two. Mind leap years."),
    ("dates", "A month ago keeps the day and lowers the month; 24 hours later is the next day; ten days are ten days."),
    ("dates", "Christmas Eve is December 24, and the last day of February is the 29th in a leap year."),
    ("clauses", "Name the kind of the clause: force majeure, confidentiality, arbitration, termination or indemnity."),
    (
        "clauses",
        "A clause about disputes is arbitration; 'hold harmless' is indemnity; notice in writing is termination.",
    ),
    ("clauses", "Look for the verb: who shall do what, and after this Agreement has ended or while it runs?"),
    ("code", "Translate Python to JavaScript: use const and arrow functions, `filter` and `map` for comprehensions."),
    ("code", "`len(xs)` is `xs.length`, and `range(1, n + 1)` counts from 1 to n; negative slices become `slice(-k)`."),
    (
        "capitals",
        "Give the capital's common English name, without the country; for two capitals, the seat of government.",
    ),
    ("capitals", "The capital of France is Paris, so for France you would write Paris."),
    ("posts", "Answer with one mood: happy, angry, sad, amused or anxious. Emojis often say more than the words."),
    ("posts", "Sarcasm such as 'thanks a lot' after a complaint is angry; worry about exams is anxious."),
    (
        "words",
        "How many are left? Subtract what died, broke or was eaten. Percent of a number is number times percent / 100.",
    ),
    ("words", "'Twice as many altos as basses' splits a sum into thirds. Check that the parts add up to the whole."),
    (
        "words",
        "Write each step as an equation such as 10 * 3 = 30, and give a plain number at the end, e.g. 12 or 3.5.",
    ),
    (
        "words",
        "Liters, pesos and hours are units: leave them out. After a week or after 6 hours, multiply the rate by time.",
    ),
    ("recipes", "Name the dish that uses all ingredients and is done in the minutes given. Answer with its name only."),
    (
        "recipes",
        "Lemon, garlic and dill are seasonings; the dish is named after its main ingredient, such as tomato soup.",
    ),
]
