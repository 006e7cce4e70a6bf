"""Instructions that quote an example, and honest ones, which no guard was made with in view.

They were written before the guard of today, over other data than `leak_data`. The guard before it found 48 of the 50
leaks and refused 3 of the 45 honest texts; this one at first sight 46 and 1. A leak is (set of examples, kind, what an
instruction says besides its rule, what of it must be gone after cleaning). Kinds: "input" is a word-for-word quotation,
"pair" an input or the heart of one beside its answer, "altered" a quotation with changed words, "answer" an
answer alone.
"""

# ruff: noqa: RUF001

from __future__ import annotations

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
