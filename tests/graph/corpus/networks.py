"""Larger graphs: hints to one verdict, layers, chains, diamonds, mixtures."""

import dspy

from .base import case

HINTS = ("statement", "job_title", "state", "party", "source")


class LieDetector(dspy.Module):
    """Five hints, each from one column, and a verdict."""

    def __init__(self) -> None:
        super().__init__()
        for name in HINTS:
            setattr(self, f"{name}_hint", dspy.Predict(f"{name} -> hint"))
        self.verdict = dspy.Predict("statement, hints -> is_lie")

    def forward(self, statement: str, job_title: str, state: str, party: str, source: str) -> dspy.Prediction:
        row = {
            "statement": statement,
            "job_title": job_title,
            "state": state,
            "party": party,
            "source": source,
        }
        hints = [getattr(self, f"{name}_hint")(**{name: value}).hint for name, value in row.items()]
        listed = "\n".join(f"Hint {i}: {hint}" for i, hint in enumerate(hints, start=1))
        verdict = self.verdict(statement=statement, hints=listed)
        return dspy.Prediction(answer="yes" if verdict.is_lie.strip().lower().startswith("yes") else "no")


class Layers(dspy.Module):
    """Three layers of three, the last one also sees a node of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.low = [dspy.Predict("question -> hint") for _ in range(3)]
        self.mid = [dspy.Predict("hints -> hint") for _ in range(3)]
        self.top = [dspy.Predict("hints, skip -> hint") for _ in range(3)]
        self.final = dspy.Predict("hints -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        low = [node(question=question).hint for node in self.low]
        mid = [node(hints="\n".join(low)).hint for node in self.mid]
        top = [node(hints="\n".join(mid), skip=low[i]).hint for i, node in enumerate(self.top)]
        return dspy.Prediction(answer=self.final(hints="\n".join(top)).answer)


class Chain(dspy.Module):
    tasks = ("outline", "draft", "facts", "style", "grammar", "title")

    def __init__(self) -> None:
        super().__init__()
        self.nodes = {task: dspy.Predict("text -> result") for task in self.tasks}

    def forward(self, text: str) -> dspy.Prediction:
        for task in self.tasks:
            text = f"[{task}] " + self.nodes[task](text=text).result.strip()
        return dspy.Prediction(text=text)


class Diamond(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.source = dspy.Predict("topic -> thesis, example")
        self.left = dspy.Predict("thesis -> argument")
        self.right = dspy.Predict("example -> argument")
        self.sink = dspy.Predict("left, right, thesis -> essay")

    def forward(self, topic: str) -> dspy.Prediction:
        source = self.source(topic=topic)
        left = self.left(thesis=source.thesis).argument
        right = self.right(example=source.example).argument
        return self.sink(left=left, right=right, thesis=source.thesis.upper())


class Newsroom(dspy.Module):
    """A router, a loop in one branch and an ending for all."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = dspy.Predict("lead -> section, urgency: int")
        self.sports = dspy.Predict("lead -> article")
        self.write = dspy.Predict("lead, notes -> article")
        self.check = dspy.Predict("article -> errors: list[str]")
        self.headline = dspy.Predict("article, style -> headline")

    def forward(self, lead: str) -> dspy.Prediction:
        assigned = self.desk(lead=lead)
        if assigned.section.lower() == "sports":
            article = self.sports(lead=lead).article
        else:
            article, notes = "", "none"
            for _ in range(3):
                article = self.write(lead=lead, notes=notes).article
                errors = self.check(article=article).errors
                if not errors:
                    break
                notes = "; ".join(errors)
        style = "bold" if assigned.urgency > 7 else "plain"
        headline = self.headline(article=article[:200], style=style).headline
        return dspy.Prediction(headline=headline, article=article, section=assigned.section)


class DebateTree(dspy.Module):
    """Pairs are merged until one is left; each merge is made by one predictor."""

    def __init__(self) -> None:
        super().__init__()
        self.opinions = [dspy.Predict("motion -> opinion") for _ in range(4)]
        self.merge = dspy.Predict("first, second -> merged")

    def forward(self, motion: str) -> dspy.Prediction:
        level = [ask(motion=motion).opinion for ask in self.opinions]
        while len(level) > 1:
            pairs = zip(level[::2], level[1::2], strict=True)
            level = [self.merge(first=first, second=second).merged for first, second in pairs]
        return dspy.Prediction(consensus=level[0])


class Planner(dspy.Module):
    """Steps that name the earlier steps they need."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.Predict("goal -> steps: list[dict[str, str]]")
        self.work = dspy.Predict("step, given -> result")

    def forward(self, goal: str) -> dspy.Prediction:
        results: dict[str, str] = {}
        for step in self.plan(goal=goal).steps:
            given = "\n".join(results[need] for need in step["needs"].split() if need in results)
            results[step["id"]] = self.work(step=step["do"], given=given or "nothing").result
        return dspy.Prediction(result=list(results.values())[-1] if results else "")


LOW = ", ".join(f"low[{i}][0].hint" for i in range(3))
MID = ", ".join(f"mid[{i}][0].hint" for i in range(3))
TOP = ", ".join(f"top[{i}][0].hint" for i in range(3))

CASES = (
    case(
        "five-hints",
        LieDetector,
        {
            "statement": "Crime doubled last year.",
            "job_title": "Governor",
            "state": "Ohio",
            "party": "none",
            "source": "a speech",
        },
        {
            "statement_hint": {"hint": "Doubling in a year is rare."},
            "job_title_hint": {"hint": "Governors know data."},
            "state_hint": {"hint": "Ohio publishes figures."},
            "party_hint": {"hint": "No party line."},
            "source_hint": {"hint": "Speeches exaggerate."},
            "verdict": {"is_lie": "Yes, most likely."},
        },
        data="""statement_hint[0].hint, job_title_hint[0].hint, state_hint[0].hint -> verdict[0].hints
                party_hint[0].hint, source_hint[0].hint -> verdict[0].hints""",
        output="verdict[0].is_lie -> answer",
        note="Five siblings share one field of the verdict, whose reply is cut down to yes or no.",
    ),
    case(
        "layers-with-skips",
        Layers,
        {"question": "Will it rain?"},
        {
            **{f"low[{i}]": {"hint": f"cloud {i}"} for i in range(3)},
            **{f"mid[{i}]": {"hint": f"wind {i}"} for i in range(3)},
            **{f"top[{i}]": {"hint": f"cloud {i} and wind"} for i in range(3)},
            "final": {"answer": "cloud 0: yes"},
        },
        data=f"""{LOW} -> mid[0][0].hints, mid[1][0].hints, mid[2][0].hints
                 {MID} -> top[0][0].hints, top[1][0].hints, top[2][0].hints
                 low[0][0].hint -> top[0][0].skip
                 low[1][0].hint -> top[1][0].skip
                 low[2][0].hint -> top[2][0].skip
                 {TOP} -> final[0].hints""",
        output="final[0].answer -> answer",
        note="Full layers with one skip each; the top repeats words of the bottom, which suggests more skips.",
    ),
    case(
        "chain-of-six",
        Chain,
        {"text": "Why we sleep"},
        {
            f"nodes['{task}']": lambda inputs: {"result": f"{inputs['text'].split('] ')[-1]}, indeed"}
            for task in Chain.tasks
        },
        data="""nodes['outline'][0].result -> nodes['draft'][0].text
                nodes['draft'][0].result -> nodes['facts'][0].text
                nodes['facts'][0].result -> nodes['style'][0].text
                nodes['style'][0].result -> nodes['grammar'][0].text
                nodes['grammar'][0].result -> nodes['title'][0].text""",
        output="nodes['title'][0].result -> text",
        note="Each text contains all the ones before it, but only neighbours are joined.",
    ),
    case(
        "diamond",
        Diamond,
        {"topic": "bicycles"},
        {
            "source": {"thesis": "Bicycles are fast.", "example": "Bicycles are fast."},
            "left": {"argument": "No queues."},
            "right": {"argument": "No queues."},
            "sink": {"essay": "Ride."},
        },
        data="""source[0].thesis -> left[0].thesis, sink[0].thesis
                source[0].example -> right[0].example
                left[0].argument -> sink[0].left
                right[0].argument -> sink[0].right""",
        output="sink[0].essay -> essay",
        note="Both outputs of the source are equal and so are both arms, with a short cut in upper case.",
    ),
    case(
        "router-and-loop",
        Newsroom,
        {"lead": "The old bridge is closed."},
        {
            "desk": {"section": "City", "urgency": 9},
            "sports": {"article": "2:1."},
            "write": [{"article": "The brigde is closed."}, {"article": "The bridge is closed."}],
            "check": [{"errors": ["brigde is not a word"]}, {"errors": []}],
            "headline": {"headline": "BRIDGE CLOSED"},
        },
        data="""write[0].article -> check[0].article
                check[0].errors -> write[1].notes
                write[1].article -> check[1].article, headline[0].article
                desk[0].urgency -> headline[0].style""",
        output="""headline[0].headline -> headline
                  write[1].article -> article
                  desk[0].section -> section""",
        control="""desk[0].section -> write[0], check[0]
                   check[0].errors -> write[1], check[1]""",
        allowed="""desk[0].section -> write[1], check[1]
                   desk[0].section, check[0].errors, check[1].errors -> headline[0].article, article""",
        note="A list of errors ends the loop by being empty and feeds the next round by its text.",
    ),
    case(
        "merge-tree",
        DebateTree,
        {"motion": "More benches"},
        {
            **{f"opinions[{i}]": {"opinion": f"opinion {i}"} for i in range(4)},
            "merge": lambda inputs: {"merged": f"{inputs['first']} & {inputs['second']}"},
        },
        data="""opinions[0][0].opinion -> merge[0].first
                opinions[1][0].opinion -> merge[0].second
                opinions[2][0].opinion -> merge[1].first
                opinions[3][0].opinion -> merge[1].second
                merge[0].merged -> merge[2].first
                merge[1].merged -> merge[2].second""",
        output="merge[2].merged -> consensus",
        note="One predictor merges on two levels, and the last input contains every opinion.",
    ),
    case(
        "planned-graph",
        Planner,
        {"goal": "a picnic"},
        {
            "plan": {
                "steps": [
                    {"id": "a", "do": "find a place", "needs": ""},
                    {"id": "b", "do": "buy bread", "needs": ""},
                    {"id": "c", "do": "invite friends", "needs": "a"},
                ]
            },
            "work": lambda inputs: {
                "result": {"find a place": "the lake", "buy bread": "two loaves"}.get(
                    inputs["step"], "all come to the lake"
                )
            },
        },
        data="""plan[0].steps -> work[0].step, work[1].step, work[2].step
                plan[0].steps -> work[1].given, work[2].given
                work[0].result -> work[2].given""",
        output="work[2].result -> result",
        allowed="""plan[0].steps -> work[0], work[1], work[2]
                   plan[0].steps -> result
                   plan[0].steps -> work[0].given""",
        note="The plan says which result feeds which step: the graph itself is an output.",
    ),
)
