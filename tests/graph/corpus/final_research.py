"""Research workflows: the runs of the programs in final_research_programs.py and their true edges."""

from . import final_research_programs as programs
from .base import case

STEPS = """
    agent.react[0].next_thought, agent.react[0].next_tool_name -> agent.react[1].trajectory, agent.react[2].trajectory
    agent.react[0].next_tool_args -> agent.react[1].trajectory, agent.react[2].trajectory
    agent.react[1].next_thought, agent.react[1].next_tool_name -> agent.react[2].trajectory
    agent.react[1].next_tool_args -> agent.react[2].trajectory
    agent.react[0].next_thought, agent.react[0].next_tool_name -> agent.extract.predict[0].trajectory
    agent.react[1].next_thought, agent.react[1].next_tool_name -> agent.extract.predict[0].trajectory
    agent.react[2].next_thought, agent.react[2].next_tool_name -> agent.extract.predict[0].trajectory
    agent.react[0].next_tool_args, agent.react[1].next_tool_args -> agent.extract.predict[0].trajectory
    agent.react[2].next_tool_args -> agent.extract.predict[0].trajectory"""

CASES = (
    case(
        "res-screen-and-cite",
        programs.Review,
        {"topic": "moss", "abstracts": ["Moss spreads.", "Cats nap.", "Moss holds water.", "Moss is old."]},
        {
            "screen": lambda inputs: {
                "relevance": {"Moss spreads.": 0.9, "Cats nap.": 0.2, "Moss holds water.": 0.7}.get(
                    inputs["abstract"], 0.6
                ),
                "keyword": "moss",
            },
            "synthesise": {"synthesis": "It holds water [2] and spreads [1]."},
        },
        data="""screen[0].relevance, screen[1].relevance -> synthesise[0].sources
                screen[2].relevance, screen[3].relevance -> synthesise[0].sources""",
        output="""screen[0].relevance, screen[1].relevance, screen[2].relevance, screen[3].relevance -> cited, included
                  synthesise[0].synthesis -> review, cited""",
        note="Numbers rank texts of the input, in threads; the synthesis' citations select among those kept.",
    ),
    case(
        "res-claims-corrected",
        programs.ClaimCheck,
        {"question": "What floats, swims and flies?"},
        {
            "write": {"text": "Ice floats. Stones swim.  Birds fly."},
            "verify": lambda inputs: {
                "verdict": "refuted" if "Stones" in inputs["claim"] else "supported",
                "evidence": "Stones sink." if "Stones" in inputs["claim"] else "everybody knows",
            },
            "correct": {"corrected": "Stones sink."},
        },
        data="""write[0].text -> verify[0].claim, verify[1].claim, verify[2].claim, correct[0].claim
                verify[1].evidence -> correct[0].evidence""",
        output="""write[0].text, correct[0].corrected -> text
                  verify[0].verdict, verify[1].verdict, verify[2].verdict -> support""",
        control="verify[1].verdict -> correct[0]",
        allowed="""write[0].text -> verify[0], verify[1], verify[2], correct[0]
                   write[0].text -> support
                   verify[0].verdict, verify[1].verdict, verify[2].verdict -> text""",
        note="Sentences are checked one by one and replaced where refuted; the correction equals its evidence.",
    ),
    case(
        "res-hops-until-nothing-new",
        programs.Hops,
        {"question": "In which province does the Heron River rise?"},
        {
            "query": [
                {"query": "Where does the Heron River rise?"},
                {"query": "Where is Mount Slate?"},
                {"query": "Heron River and its province"},
            ],
            "answer": {"answer": "Northmark"},
        },
        data="""query[0].query -> query[1].facts, query[2].facts, answer[0].facts
                query[1].query -> query[2].facts, answer[0].facts
                query[2].query -> answer[0].facts""",
        output="answer[0].answer -> answer",
        control="query[0].query, query[1].query -> query[2]",
        note="A text found again ends the search: the first query does not decide on the second one, but on the third.",
    ),
    case(
        "res-meta-analysis",
        programs.MetaAnalysis,
        {"abstracts": ["40 people in Norland", "200 people in Sudland", "60 people in Westland"]},
        {
            "pull.predict": [
                {"reasoning": "d is 0.2", "effect": 0.2, "n": 40, "country": "Norland"},
                {"reasoning": "d is 0.5", "effect": 0.5, "n": 200, "country": "Sudland"},
                {"reasoning": "d is 0.5", "effect": 0.5, "n": 60, "country": "Westland"},
            ],
            "interpret": {"conclusion": "A medium effect of 0.5 in 3 studies."},
        },
        data="""pull.predict[0].effect, pull.predict[0].n -> interpret[0].pooled
                pull.predict[1].effect, pull.predict[1].n -> interpret[0].pooled
                pull.predict[2].effect, pull.predict[2].n -> interpret[0].pooled
                pull.predict[0].effect, pull.predict[1].effect, pull.predict[2].effect -> interpret[0].spread""",
        output="""interpret[0].conclusion -> conclusion
                  pull.predict[0].n, pull.predict[1].n, pull.predict[2].n -> total, largest
                  pull.predict[1].country -> largest""",
        note="A weighted mean, a deviation and a maximum over typed fields; two of the effects are equal.",
    ),
    case(
        "res-bibliography",
        programs.Bibliography,
        {"raw": ["Birch: Roots, 2015", "Alder and Fir: Leaves, 2001", "Birch: Bark, 2015"]},
        {
            "parse": [
                {"ref": {"authors": ["Birch"], "year": 2015, "title": "Roots"}},
                {"ref": {"authors": ["Alder", "Fir"], "year": 2001, "title": "Leaves"}},
                {"ref": {"authors": ["Birch"], "year": 2015, "title": "Bark"}},
            ],
            "intro": {"intro": "Trees were studied until 2015."},
        },
        data="parse[0].ref, parse[1].ref, parse[2].ref -> intro[0].keys, intro[0].newest",
        output="parse[0].ref, parse[1].ref, parse[2].ref, intro[0].intro -> text",
        note="Models are sorted and grouped by a property, which gives two of them letters; the newest year is shared.",
    ),
    case(
        "res-hypothesis-loop",
        programs.Hypothesis,
        {"places": [2, 5, 7]},
        {
            "propose": [
                {"slope": 1, "offset": 0, "hunch": "proportional"},
                {"slope": 4, "offset": 0, "hunch": "steeper"},
                {"slope": 3, "offset": 1, "hunch": "y = 3x + 1"},
            ],
            "report": {"report": "The law is y = 3x + 1."},
        },
        data="""propose[0].slope, propose[0].offset -> propose[1].observations, propose[2].observations
                propose[1].slope, propose[1].offset -> propose[2].observations
                propose[2].slope, propose[2].offset -> report[0].law""",
        output="""propose[0].slope, propose[1].slope, propose[2].slope -> errors
                  propose[0].offset, propose[1].offset, propose[2].offset -> errors
                  report[0].report -> report""",
        control="""propose[0].slope, propose[0].offset -> propose[1]
                   propose[1].slope, propose[1].offset -> propose[2]""",
        allowed="""propose[0].slope, propose[0].offset -> propose[2], report[0].law
                   propose[1].slope, propose[1].offset -> report[0].law""",
        note="Only errors go back, and a small one ends the loop; the hunch equals the law's text and is not read.",
    ),
    case(
        "res-debate",
        programs.Debate,
        {"motion": "Libraries should open at night."},
        {
            "sides['pro']": [
                {"speech": "Night readers exist. Many work by day."},
                {"speech": "Guards are cheap. Books are not at risk."},
            ],
            "sides['con']": [
                {"speech": "Guards are needed. Who pays?"},
                {"speech": "Books are not at risk. Sleep is."},
            ],
            "judge.predict": {"reasoning": "Con has the last word.", "scores": {"pro": 6, "con": 8}},
            "close": {"closing": "Let the libraries sleep."},
        },
        data="""sides['pro'][0].speech -> sides['con'][0].opponent, judge.predict[0].openings
                sides['con'][0].speech -> sides['pro'][1].opponent, judge.predict[0].openings
                sides['pro'][1].speech -> sides['con'][1].opponent
                judge.predict[0].scores -> close[0].side, close[0].point
                sides['con'][1].speech -> close[0].point""",
        output="""close[0].closing -> closing
                  judge.predict[0].scores -> margin""",
        note="Each speaker hears the last speech only, the judge the openings' first sentences only.",
    ),
    case(
        "res-fermi-estimate",
        programs.Estimate,
        {"question": "How many people work in the 3 schools and the mill?"},
        {
            "judge": [
                {"simple": False, "left": "How many work in 3 schools?", "right": "How many work in the mill?"},
                {"simple": False, "left": "How many schools?", "right": "How many in each?"},
                {"simple": True, "left": "none", "right": "none"},
            ],
            "guess": lambda inputs: {"value": 30 if "schools" in inputs["question"] else 3},
            "phrase": {"sentence": "About 33."},
        },
        data="""judge[0].left -> judge[1].question, guess[0].question
                judge[0].right -> judge[2].question, guess[1].question
                guess[0].value, guess[1].value -> phrase[0].total""",
        output="""guess[0].value, guess[1].value -> total
                  phrase[0].sentence -> sentence""",
        control="judge[0].simple -> judge[1], judge[2], guess[1]",
        allowed="""judge[0].simple -> guess[0], guess[0].question
                   judge[0].simple -> phrase[0].total, total""",
        note="Recursion with two arms; at the bottom the judges are asked and read, but the depth decides.",
    ),
    case(
        "res-regions-csv",
        programs.Regions,
        {"reports": ["North 30, south 5.", "South 20, north 1.", "East 12."]},
        {
            "tabulate": lambda inputs: {
                "table": {
                    "North 30, south 5.": "region,cases\nNorth,30\nSouth,5",
                    "South 20, north 1.": "region,cases\nsouth,20\nnorth,1",
                }.get(inputs["report"], "region,cases\nEast,about 12"),
                "remark": "north",
            },
            "explain": {"explanation": "The north is damp."},
        },
        data="tabulate[0].table, tabulate[1].table, tabulate[2].table -> explain[0].region, explain[0].share",
        output="""tabulate[0].table, tabulate[1].table, tabulate[2].table -> region, cases
                  explain[0].explanation -> explanation""",
        note="CSV texts are parsed, merged and counted; the winner's name is also an unread remark.",
        style="async",
    ),
    case(
        "res-best-title",
        programs.Abstract,
        {"findings": "Damp walls grow moss."},
        {
            "best.module": [
                {"title": "on the moss of damp walls", "abstract": "Walls were wet."},
                {"title": "moss grows on damp walls", "abstract": "Moss was found on walls."},
            ],
            "keywords": {"keywords": ["Moss", "walls", "moss"]},
        },
        data="""best.module[0].title, best.module[1].title -> keywords[0].abstract
                best.module[1].abstract -> keywords[0].abstract""",
        output="""best.module[0].title, best.module[1].title -> title
                  keywords[0].keywords -> keywords""",
        note="BestOfN rates one field, and the other field of the chosen attempt is passed on.",
    ),
    case(
        "res-quorum",
        programs.Quorum,
        {"claim": "It is true that bats are birds, false or unsure?"},
        {
            "panel[0]": {"vote": "true", "confidence": 30},
            "panel[1]": {"vote": "false", "confidence": 25},
            "panel[2]": {"vote": "unsure", "confidence": 45},
            "arbiter": {"vote": "false"},
        },
        data="panel[0][0].vote, panel[1][0].vote, panel[2][0].vote -> arbiter[0].tally",
        output="arbiter[0].vote -> verdict",
        control="""panel[0][0].vote, panel[1][0].vote, panel[2][0].vote -> arbiter[0]
                   panel[0][0].confidence, panel[1][0].confidence -> arbiter[0]""",
        allowed="""panel[2][0].confidence -> arbiter[0]
                   panel[0][0].vote, panel[1][0].vote, panel[2][0].vote -> verdict
                   panel[0][0].confidence, panel[1][0].confidence, panel[2][0].confidence -> verdict""",
        note="A signed sum decides on an arbiter, who hears the votes' counts; an unsure confidence counts zero.",
        style="async",
    ),
    case(
        "res-analyst-agent",
        programs.Analyst,
        {"table": "a,3\nb,5\nc,16", "question": "Which share of c is the mean of a and b?"},
        {
            "agent.react": [
                {"next_thought": "The mean.", "next_tool_name": "mean", "next_tool_args": {"numbers": [3, 5]}},
                {
                    "next_thought": "The share.",
                    "next_tool_name": "percent",
                    "next_tool_args": {"part": 4, "whole": 16},
                },
                {"next_thought": "Done.", "next_tool_name": "finish", "next_tool_args": {}},
            ],
            "agent.extract.predict": {"reasoning": "25.0 %", "value": 25.0},
            "check": {"plausible": False, "objection": "Is it not less than 25?"},
            "redo.predict": {"reasoning": "less", "value": 22.04},
        },
        data=STEPS
        + """
            agent.extract.predict[0].value -> check[0].value
            check[0].objection -> redo.predict[0].objection""",
        output="agent.extract.predict[0].value, redo.predict[0].value -> value",
        control="""agent.react[0].next_tool_name -> agent.react[1]
                   agent.react[1].next_tool_name -> agent.react[2]
                   check[0].plausible -> redo.predict[0]""",
        allowed="""agent.react[0].next_tool_name -> agent.react[2]
                   check[0].plausible -> value""",
        note="An agent whose steps use up its limit, then a check and a second value; the smaller one is returned.",
    ),
)
