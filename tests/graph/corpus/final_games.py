"""Games and agents: the runs of the programs in final_games_programs.py and their true edges."""

from . import final_games_programs as programs
from .base import case

CASES = (
    case(
        "game-adventure",
        programs.Adventure,
        {"greeting": "take the key, open the door"},
        {
            "player": [
                {"command": "go north"},
                {"command": "Take key"},
                {"command": "go south"},
                {"command": "open door "},
            ],
            "narrator": {"tale": "You found a key and left."},
        },
        data="""player[0].command -> player[1].view, player[2].view, player[3].view
                player[0].command -> player[2].bag, player[3].bag
                player[1].command -> player[2].view, player[3].view
                player[1].command -> player[2].bag, player[3].bag
                player[2].command -> player[3].view
                player[0].command, player[1].command, player[2].command, player[3].command -> narrator[0].log""",
        output="""player[0].command, player[1].command, player[2].command, player[3].command -> won
                  narrator[0].tale -> tale""",
        note="A world keeps the state; only its cellar has anything to take, and forbidden moves raise and are caught.",
    ),
    case(
        "game-three-questions",
        programs.ThreeQuestions,
        {"secret": "no moon"},
        {
            "asker": [{"question": "Is it alive?"}, {"question": "Is it far?"}, {"question": "Is it no moon?"}],
            "oracle": [{"answer": "no"}, {"answer": "yes"}, {"answer": "won"}],
        },
        data="""asker[0].question -> oracle[0].question, asker[1].notes, asker[2].notes
                asker[1].question -> oracle[1].question, asker[2].notes
                asker[2].question -> oracle[2].question
                oracle[0].answer -> asker[1].notes, asker[2].notes
                oracle[1].answer -> asker[2].notes""",
        output="""asker[2].question -> last
                  oracle[0].answer, oracle[1].answer, oracle[2].answer -> yes
                  oracle[2].answer -> solved""",
        control="""oracle[0].answer -> asker[1], oracle[1]
                   oracle[1].answer -> asker[2], oracle[2]""",
        allowed="""oracle[0].answer -> asker[2], oracle[2]
                   oracle[0].answer, oracle[1].answer -> last, solved""",
        note="One of three short words ends the game, another is counted, and both are told to the next question.",
    ),
    case(
        "game-plan-and-run",
        programs.PlanAndRun,
        {"goal": "make 120 out of 30"},
        {
            "plan.predict": [
                {"reasoning": "three times", "steps": ["push 3", "triple 2"]},
                {"reasoning": "30 times 4 is 120", "steps": ["push 30", "times 4"]},
            ],
            "boast": {"speech": "120, how big!"},
        },
        data="""plan.predict[0].steps -> plan.predict[1].problem
                plan.predict[1].steps -> boast[0].value, boast[0].size""",
        output="""plan.predict[1].steps -> value
                  boast[0].speech -> speech""",
        control="plan.predict[0].steps -> plan.predict[1]",
        allowed="plan.predict[0].steps -> boast[0].value, boast[0].size, value",
        note="Steps run on a machine; an unknown tool ends up in the next prompt, a number in a word of the code.",
    ),
    case(
        "game-code-golf",
        programs.CodeGolf,
        {"task": "one more than the square", "examples": {1: 2, 2: 5, 3: 10}},
        {
            "coder": [{"code": "n*n"}, {"code": "n*n+"}, {"code": "`n*n+1`"}],
            "critic": {"remark": "n*n+1 is short."},
        },
        data="""coder[0].code -> coder[1].previous, coder[1].failures
                coder[1].code -> coder[2].previous, coder[2].failures
                coder[2].code -> critic[0].code, critic[0].length""",
        output="""coder[2].code -> code, correct
                  critic[0].remark -> remark""",
        control="""coder[0].code -> coder[1]
                   coder[1].code -> coder[2]""",
        allowed="""coder[0].code -> coder[2]
                   coder[0].code, coder[1].code -> critic[0].code, critic[0].length, code, correct""",
        note="Code is run on examples; wrong results and caught errors of the code itself make the next prompt.",
    ),
    case(
        "game-bracket",
        programs.Bracket,
        {"players": ["lynx", "hare", "crow", "toad"]},
        {
            "match": [
                {"winner": "first", "comment": "by a paw"},
                {"winner": "second", "comment": "by a leap"},
                {"winner": "first", "comment": "at last"},
            ],
            "interview": {"interview": "It was close."},
        },
        data="""match[0].winner -> match[2].first, interview[0].champion
                match[1].winner -> match[2].second
                match[2].winner -> interview[0].champion, interview[0].road
                match[0].comment, match[2].comment -> interview[0].road""",
        output="""match[0].winner, match[2].winner -> champion
                  interview[0].interview -> interview""",
        allowed="match[1].winner -> interview[0].champion, champion",
        note="Who wins a half plays the final; the road holds the same comments for either of the first two.",
    ),
    case(
        "game-village-vote",
        programs.Village,
        {"night": "a hen is missing, says the owl"},
        {
            "voters[0]": {"suspect": "fox", "reason": "red fur"},
            "voters[1]": {"suspect": "fox", "reason": "it smiled"},
            "voters[2]": {"suspect": "owl", "reason": "it smiled"},
            "voters[3]": {"suspect": "fox", "reason": "a tail was seen"},
            "defend": {"defence": "I was at the mill."},
        },
        data="""voters[0][0].suspect -> defend[0].accused
                voters[0][0].suspect, voters[1][0].suspect -> defend[0].reasons
                voters[2][0].suspect, voters[3][0].suspect -> defend[0].reasons
                voters[0][0].reason, voters[1][0].reason, voters[3][0].reason -> defend[0].reasons""",
        output="""voters[0][0].suspect, voters[1][0].suspect -> tally
                  voters[2][0].suspect, voters[3][0].suspect -> tally
                  defend[0].defence -> defence""",
        allowed="voters[1][0].suspect, voters[2][0].suspect, voters[3][0].suspect -> defend[0].accused",
        note="Three to one: only the first voter can turn it alone, since in a tie who was named first is accused.",
        style="async",
    ),
    case(
        "game-quiz-streak",
        programs.Quiz,
        {"topics": ["tides", "bees", "keys"]},
        {
            "ask": [{"question": "What pulls?"}, {"question": "Who dances?"}, {"question": "What is in C?"}],
            "player.predict": [
                {"reasoning": "easy", "answer": "the moon"},
                {"reasoning": "hard", "answer": "the queen"},
                {"reasoning": "easy", "answer": "no sharps"},
            ],
            "grade": [{"points": 8}, {"points": 3}, {"points": 9}],
            "host": {"goodbye": "17 points!"},
        },
        data="""ask[0].question -> player.predict[0].question, grade[0].question
                ask[1].question -> player.predict[1].question, grade[1].question
                ask[2].question -> player.predict[2].question, grade[2].question
                player.predict[0].answer -> grade[0].answer
                player.predict[1].answer -> grade[1].answer
                player.predict[2].answer -> grade[2].answer, host[0].highlight
                grade[0].points -> ask[1].level
                grade[1].points -> ask[2].level
                grade[0].points, grade[1].points, grade[2].points -> host[0].total, host[0].highlight""",
        output="""grade[0].points, grade[1].points, grade[2].points -> total
                  host[0].goodbye -> goodbye""",
        note="A streak in the program sets the level; the second grade broke it, so the first cannot reach the third.",
    ),
    case(
        "game-market",
        programs.Market,
        {"cash": 20, "prices": [5, 8, 6]},
        {
            "trader": [{"order": "buy 2"}, {"order": "Buy 3, please"}, {"order": "I sell 1 of 2"}],
            "advisor": {"advice": "Hold."},
        },
        data="""trader[0].order -> trader[1].cash, trader[1].stock, trader[1].notice
                trader[0].order -> trader[2].cash, trader[2].stock, trader[2].notice
                trader[1].order -> trader[2].cash, trader[2].stock, trader[2].notice
                trader[0].order, trader[1].order -> advisor[0].worth""",
        output="""trader[0].order, trader[1].order, trader[2].order -> stock
                  trader[0].order, trader[1].order -> worth
                  advisor[0].advice -> advice""",
        note="A wallet refuses and is caught; the last trade is at the price of the reckoning and changes no worth.",
    ),
    case(
        "game-treaty",
        programs.Treaty,
        {"opening": "Ten or two?"},
        {
            "fox": [{"line": "Ten.", "offer": 10}, {"line": "Six, then.", "offer": 6}],
            "owl": [{"line": "Two.", "offer": 2}, {"line": "Five.", "offer": 5}],
            "sign": {"treaty": "5 gold."},
        },
        data="""fox[0].line, fox[0].offer -> owl[0].memory, fox[1].memory
                owl[0].line, owl[0].offer -> fox[1].memory, owl[1].memory
                fox[1].line, fox[1].offer -> owl[1].memory, sign[0].memory
                owl[1].line, owl[1].offer -> sign[0].memory
                fox[1].offer, owl[1].offer -> sign[0].gold""",
        output="""fox[1].offer, owl[1].offer -> gold
                  sign[0].treaty -> treaty""",
        control="fox[0].offer, owl[0].offer -> fox[1], owl[1]",
        allowed="fox[0].offer, owl[0].offer -> sign[0].memory, sign[0].gold, gold",
        note="A memory of two lines forgets what came before; the offers' distance ends the talks.",
    ),
    case(
        "game-two-plies",
        programs.Chess,
        {"position": "start"},
        {
            "propose": {"moves": ["e4", "d4"]},
            "counter": lambda inputs: {"replies": ["e5", "c5"] if "e4" in inputs["position"] else ["d5", "f5"]},
            "evaluate": [{"score": 3}, {"score": 7}, {"score": 5}, {"score": 4}],
            "explain": {"comment": "4 at least"},
        },
        data="""propose[0].moves -> counter[0].position, counter[1].position, explain[0].move
                propose[0].moves -> evaluate[0].position, evaluate[1].position
                propose[0].moves -> evaluate[2].position, evaluate[3].position
                counter[0].replies -> evaluate[0].position, evaluate[1].position
                counter[1].replies -> evaluate[2].position, evaluate[3].position
                evaluate[0].score, evaluate[2].score, evaluate[3].score -> explain[0].move, explain[0].score""",
        output="""propose[0].moves, evaluate[0].score, evaluate[2].score, evaluate[3].score -> move
                  explain[0].comment -> comment""",
        allowed="""propose[0].moves -> counter[0], counter[1], explain[0].score
                   propose[0].moves -> evaluate[0], evaluate[1], evaluate[2], evaluate[3]
                   counter[0].replies -> evaluate[0], evaluate[1], explain[0].move, explain[0].score, move
                   counter[1].replies -> evaluate[2], evaluate[3], explain[0].move, explain[0].score, move
                   evaluate[1].score -> explain[0].move, explain[0].score, move""",
        note="The best of the worst: the second evaluation is no minimum and, alone, cannot help its move.",
    ),
    case(
        "game-villager-memory",
        programs.Villager,
        {"scenes": ["The well is low.", "The mill burns.", "A stranger came."], "question": "What is new?"},
        {
            "observe": [
                {"note": "low well.", "importance": 2},
                {"note": "fire at the mill.", "importance": 9},
                {"note": "a stranger.", "importance": 5},
            ],
            "reflect.predict": {"reasoning": "fire and a stranger", "insight": "Who lit the fire at the mill?"},
            "speak": {"reply": "The mill burnt."},
        },
        data="""observe[0].note, observe[1].note, observe[2].note -> reflect.predict[0].notes
                observe[1].note, observe[2].note -> speak[0].memories
                observe[0].importance, observe[1].importance, observe[2].importance -> speak[0].memories
                reflect.predict[0].insight -> speak[0].insight""",
        output="speak[0].reply -> reply",
        control="observe[0].importance, observe[1].importance, observe[2].importance -> reflect.predict[0]",
        allowed="observe[0].importance, observe[1].importance, observe[2].importance -> speak[0].insight",
        note="Importance ranks memories, and its sum is just enough for a reflection; the least note is left out.",
    ),
    case(
        "game-quest-agent",
        programs.Quest,
        {"quest": "Wake the dragon"},
        {
            "agent.react": [
                {
                    "next_thought": "Where is it?",
                    "next_tool_name": "consult",
                    "next_tool_args": {"question": "Where does the dragon sleep?"},
                },
                {
                    "next_thought": "Who guards it?",
                    "next_tool_name": "strength",
                    "next_tool_args": {"name": "Goblin"},
                },
                {"next_thought": "Go.", "next_tool_name": "finish", "next_tool_args": {}},
            ],
            "oracle": {"prophecy": "under the hill", "price": 3},
            "agent.extract.predict": {"reasoning": "The oracle knows.", "plan": "Knock on the hill 3 times."},
            "bard": {"song": "Knock, knock, knock."},
        },
        data="""
            agent.react[0].next_thought -> agent.react[1].trajectory, agent.react[2].trajectory
            agent.react[0].next_tool_name -> agent.react[1].trajectory, agent.react[2].trajectory
            agent.react[0].next_tool_args -> agent.react[1].trajectory, agent.react[2].trajectory
            agent.react[1].next_thought, agent.react[1].next_tool_name -> agent.react[2].trajectory
            agent.react[1].next_tool_args -> agent.react[2].trajectory
            agent.react[0].next_thought, agent.react[0].next_tool_name -> agent.extract.predict[0].trajectory
            agent.react[1].next_thought, agent.react[1].next_tool_name -> agent.extract.predict[0].trajectory
            agent.react[2].next_thought, agent.react[2].next_tool_name -> agent.extract.predict[0].trajectory
            agent.react[0].next_tool_args, agent.react[1].next_tool_args -> agent.extract.predict[0].trajectory
            agent.react[2].next_tool_args -> agent.extract.predict[0].trajectory
            agent.react[0].next_tool_args -> oracle[0].question
            oracle[0].prophecy -> agent.react[1].trajectory, agent.react[2].trajectory
            oracle[0].prophecy -> agent.extract.predict[0].trajectory
            agent.extract.predict[0].plan -> bard[0].plan""",
        output="bard[0].song -> song",
        control="""agent.react[0].next_tool_name -> oracle[0], agent.react[1]
                   agent.react[1].next_tool_name -> agent.react[2]""",
        allowed="""agent.react[0].next_tool_name -> agent.react[2]
                   agent.react[0].next_tool_args -> oracle[0]""",
        note="One tool asks another predictor, whose upper-cased words are an observation; the other tool fails.",
    ),
)
