"""The figures in the tables are those of the committed records."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

from contest.report import standings, tables
from decisions_tables import Study, parts
from projected import PUBLISHED, Bill
from unseen.table import tables as unseen_tables

from tests.docs.pages import README, ROOT, rows

RESULTS = ROOT / "docs" / "results"


def record(name: str) -> Any:
    return json.loads((ROOT / "experiments" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def test_comparison():
    found = record("comparison")
    page = (RESULTS / "comparison.md").read_text(encoding="utf-8")
    assert [line for line in tables(found).splitlines() if line not in page] == []
    assert found["standings"] == standings(found["rows"])
    assert all(row["calls"] <= row["cap"] for row in found["rows"])


def test_unseen():
    found = record("unseen-simulated")
    page = (RESULTS / "unseen.md").read_text(encoding="utf-8")
    for one in (found, record("unseen-later-simulated")):
        runs = [dict(zip(one["columns"], row, strict=True)) for row in one["rows"]]
        # A table of one optimizer alone has none to set it against.
        lines = [line for line in unseen_tables(runs) if not line.startswith("| default less") or one is found]
        assert [line for line in lines if line not in page] == []
        assert all(run["calls"] <= run["cap"] for run in runs)
    table = {row[0]: row[1:] for row in rows(RESULTS / "unseen.md")}
    for world, scores in found["scores"].items():
        assert table[world][-2:] == tuple(f"{100 * scores[when]:.0f} %" for when in ("start", "perfect"))


def test_blind():
    found = record("blind-simulated")
    page = (RESULTS / "blind.md").read_text(encoding="utf-8")
    for one in (record("blind-later-simulated"), found):
        runs = [dict(zip(one["columns"], row, strict=True)) for row in one["rows"]]
        lines = [line for line in unseen_tables(runs) if not line.startswith("| default less") or one is found]
        assert [line for line in lines if line not in page] == []
        assert all(run["calls"] <= run["cap"] for run in runs)
    table = {row[0]: row[1:] for row in rows(RESULTS / "blind.md")}
    for world, scores in found["scores"].items():
        assert table[world][-2:] == tuple(f"{100 * scores[when]:.0f} %" for when in ("start", "all"))
    lost = Counter(run["optimizer"] for run in runs if run["after"] < run["before"] - 0.01)
    names = ("semantic", "one_step", "published", "gepa_all_small", "simba")
    assert lost.keys() <= set(names)
    shown = "{} of 108 of the default, {} of `one_step`, {} of `published`, {} of GEPA with six examples, {} of SIMBA"
    assert shown.format(*(lost[name] for name in names)) in " ".join(page.split())


def test_a_real_model():
    found, table = record("real-model"), {row[0]: row[1:] for row in rows(RESULTS / "real-model.md")}
    for cell in found["cells"]:
        right = [f"{sum(cell['exact'][when]):.0f} of {len(cell['exact'][when])}" for when in ("before", "after")]
        notes = [str(cell["notes"][name]) for name in ("new instructions wanted", "written as it was")]
        assert table[cell["arm"]] == (*right, f"{cell['tokens']:,}", *notes)
        assert not cell["changed"] and cell["ending"] == "the budget is spent" and cell["calls"] == 150


def test_growth():
    found = record("growth-simulated")
    table = {row[0].partition(":")[0].partition(" ")[0].strip(","): row[1:] for row in rows(RESULTS / "growth.md")}
    for what, exponent in found["exponents"].items():
        mine = [row for row in found["rows"] if row["what"] == what]
        sizes = [f"{mine[at]['size']:,}" for at in (0, -1)]
        assert table[what] == (*sizes, *(f"{mine[at]['seconds']:.2f}" for at in (0, -1)), str(exponent))


def by_optimizer() -> dict[str, tuple[str, ...]]:
    """The rows of the README's table, by the name that records have for an optimizer."""
    bare = str.maketrans("", "", "`()")
    names = (row[0].translate(bare).split(", the ")[0].split(", which")[0] for row in rows(README))
    shown = (name.removeprefix("dspy.").removeprefix("presets.").removesuffix(" components").lower() for name in names)
    return dict(zip(shown, rows(README), strict=True))


def test_the_readme_s_table():
    found = record("decisions-simulated")
    runs = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    table = by_optimizer()
    for name in ("semantic", "one_step", "proven", "published", "gepa", "gepa, all", "miprov2", "simba"):
        mine = [one for one in runs if one["optimizer"] == name]
        for column, cap in ((1, 230), (2, 470), (3, 940)):
            gains = [100 * (one["after"] - one["before"]) for one in mine if one["cap"] == cap]
            assert table[name][column] == f"{sum(gains) / len(gains):+.1f}", name
        worse = sum(one["after"] < one["before"] - 1e-6 for one in mine)
        assert table[name][4] == f"{worse} of {len(mine)}", name


def test_the_readme_s_columns_of_the_blind_worlds():
    found = record("blind-simulated")
    runs = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    table = by_optimizer()
    small = {"gepa_all_small": "gepa, all components, 6 to decide on", "gepa_all": "gepa, all"}
    for name in dict.fromkeys(run["optimizer"] for run in runs):
        mine, row = [one for one in runs if one["optimizer"] == name], table[small.get(str(name), str(name))]
        for column, cap in ((5, 250), (6, 600)):
            gains = [100 * (one["after"] - one["before"]) for one in mine if one["cap"] == cap]
            assert row[column] == f"{sum(gains) / len(gains):+.1f}", name
        assert row[7] == f"{sum(one['after'] < one['before'] - 1e-3 for one in mine)} of {len(mine)}", name


def test_decisions():
    page = (RESULTS / "decisions.md").read_text(encoding="utf-8")
    for lines in parts(Study.of(record("decisions-simulated"))):
        assert "\n".join(lines) in page


def test_gate():
    table = rows(RESULTS / "gate.md")
    gates = {
        "confident (default)": "confident (default of Gated)",
        "strict, error 0.05": "strict",
        "> (published)": "published",
    }
    edits = {"decision, no effect": "without effect", "decision, gain of 10 points": "gains 10 points"}
    accepted: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in record("gate-simulated-seed0")["rows"]:
        accepted[row["scenario"], row["gate"]].append(row["accepted"])
    for scenario, edit in edits.items():
        for gate, name in gates.items():
            (shown,) = [row[2:] for row in table if row[0] == edit and name in row[1]]
            assert len(shown) == 5
            for cell, share in zip(shown, accepted[scenario, gate], strict=True):
                assert abs(float(cell) - share) <= 0.00501


def test_compiles_of_the_gate_study():
    table = rows(RESULTS / "gate.md")
    methods = {"semantic (default)": "proven", "semantic without commit": "without", "> (published)": "published"}
    for row in record("gate-simulated-seed0")["rows"]:
        if row["scenario"] == "compile, mixed":
            shown = (str(row["size"]), f"{row['gain']:.3f}", f"{row['worse']:.2f}", str(row["calls"]))
            assert any(methods[row["gate"]] in line[0] and line[1:] == shown for line in table)
        elif row["scenario"] == "compile, no effect":
            column = 2 if row["size"] == 20 else 3
            (shown,) = [
                line[column] for line in table if methods[row["gate"]] in line[0] and line[1] in ("", "at most 0.2")
            ]
            assert shown.split()[0] == f"{row['accepted']:.2f}"


def test_scale():
    table = {row[0]: row[1:] for row in rows(RESULTS / "scale.md")}
    titles = {"Evaluate": "dspy.Evaluate", "processes": "2 processes", "dask": "Dask", "ray": "Ray"}
    for row in record("scale-simulated")["rows"]:
        ratios = (str(row[name]) for name in ("over_ideal", "over_path", "driver_ms", "load"))
        name = f"{titles.get(row['what']) or row['what']}, {row['at_once']} x {1000 * row['latency']:g} ms"
        assert table[name] == (f"{row['calls']:,}", f"{row['seconds']:.1f}", *ratios)
        assert row["what"] == "Evaluate" or row["same"]
    for row in record("scale-long-simulated")["rows"]:
        cells = (f"{row['calls']:,}", f"{row['seconds']:.1f}", str(row["over_ideal"]))
        assert table[f"{titles.get(row['what']) or row['what']}, long"] == cells
    for row in record("scale-kills-simulated")["rows"]:
        cells = (str(row["request"]), str(row["calls"]), str(row["again"]), "none")
        assert not row["violations"] and (row["victim"], *cells) in rows(RESULTS / "scale.md")


def test_downstream():
    table = rows(RESULTS / "downstream.md")
    for row in record("downstream-simulated-seed0")["rows"]:
        program = {"bbh": "BBH, GSM8K (each)", "gsm8k": "BBH, GSM8K (each)", "liar": "LIAR"}.get(row["program"])
        assert row["same_scores"] and row["same_decision"]
        if program and row["edited"] != "all":
            shown = (str(row["full"]), str(row["downstream"]), f"{100 * row['saved']:.0f} %")
            assert any(line[0] == program and line[2:] == shown for line in table), row


def test_fault_localisation():
    found, table = record("fault_localization-simulated-seed0"), rows(RESULTS / "fault-localization.md")
    joint = {(row["method"], row["noise"]): row for row in found["joint"]}
    for row in found["overall"]:
        if row["method"] in ("last", "uniform") and row["noise"]:
            continue
        other = joint[row["method"], row["noise"]]
        shown = [line for line in table if line[:2] == (row["method"], f"{100 * row['noise']:.0f} %")]
        cells = (_with_interval(row), f"{row['top2']:.3f}", _with_interval(other))
        assert [line[2:] for line in shown] == [(*cells, f"{row['calls']:.0f}", f"{row['tokens']:,.0f}")]


def test_fault_localisation_with_a_fair_judge():
    table = rows(RESULTS / "fault-localization.md")
    for row in record("fault_localization-simulated-seed1")["overall"]:
        if row["method"] not in ("last", "uniform"):
            cells = (_with_interval(row), f"{row['top2']:.3f}", f"{row['calls']:.0f}", f"{row['tokens']:,.0f}")
            assert (f"{100 * row['noise']:.0f} %", row["method"], *cells) in table


def _with_interval(row: dict[str, Any]) -> str:
    low, high = row["top1_interval"]
    return f"{row['top1']:.3f} [{low:.2f}, {high:.2f}]"


def test_whoandwhen():
    table, found = rows(RESULTS / "whoandwhen.md"), record("whoandwhen")["rows"]
    for row in found:
        cells = []
        for name in ("agent", "step"):
            within = row[f"{name}_interval"]
            share = "-" if row[name] is None else f"{row[name]:.3f}"
            cells.append(f"{share} [{within[0]:.2f}, {within[1]:.2f}]" if within else share)
        assert (row["kind"], row["arm"], str(row["n"]), *cells) in table
    run = {(row["kind"], row["arm"]) for row in found if row["model"]}
    assert {row[:2] for row in table if row[2] == "not run"}.isdisjoint(run)


def test_throughput():
    found = {(row["what"], row["latency"], row["threads"]): row for row in record("throughput-simulated")["rows"]}
    table = rows(RESULTS / "latency-and-throughput.md")
    for threads in (1, 4, 16, 64):
        cells = [found[what, latency, threads] for latency in (1.0, 0.1) for what in ("evaluate", "compile")]
        (shown,) = [line[1:] for line in table if line[0] == str(threads)]
        assert all(abs(float(cell) - one["ratio"]) < 0.0051 for cell, one in zip(shown, cells, strict=True))


def test_tracing():
    table = rows(RESULTS / "tracing-overhead.md")
    for row in record("tracing-simulated")["rows"]:
        client = "in the process" if row["client"] == "instant" else "through DSPy's client"
        (shown,) = [line for line in table if line[0].startswith(client) and line[1] == f"{row['calls']:,}"]
        ratios = (row["dispatch_ratio"], row["ratio"], row["cpu_ratio"])
        assert all(abs(float(cell) - one) < 0.0051 for cell, one in zip(shown[2:5], ratios, strict=True))
        assert shown[5] == (f"{row['peak_kb_per_call']} kB" if row["peak_kb_per_call"] else "")


def test_proving():
    table = {row[0]: row[1:] for row in rows(RESULTS / "tracing-overhead.md")}
    titles = {
        "never over bare": "traced without replays (never), to the program alone",
        "auto over never": "traced with replays (auto), to without",
        "auto over auto beside": "auto, to auto before",
    }
    for name, units in record("probing-simulated")["medians"].items():
        assert table[titles[name]] == (f"{units['seconds']:.2f}", f"{units['cpu']:.2f}")


def test_chain():
    table = rows(RESULTS / "growth.md")
    for row in record("chain-simulated")["rows"]:
        given = "16 examples, and 16 in a valset" if row["valset"] else "32 examples"
        names = ("ahead", "calls", "rounds", "rounds_at_the_end", "in_vain", "wall_seconds")
        counts = [str(row[name]) for name in names]
        assert (given, *counts, f"{row['wall_over_chain']:.2f}") in table
        assert row["same_when_timed"]


def test_sweep_overhead():
    table = rows(RESULTS / "sweep-overhead.md")
    for row in record("sweep-overhead-simulated")["rows"]:
        cells = [f"{row[name]:.1f}" for name in ("dspy_ms_per_question", "sweep_ms_per_question", "ratio")]
        assert (f"{row['calls']:,}", str(row["questions"]), *cells) in table


def test_gradient_length():
    table = rows(RESULTS / "gradient-length.md")
    for row in record("gradient-length-simulated")["rows"]:
        lengths = [str(row["tokens"][depth - 1]) for depth in (1, 3, 5, 10, 20)]
        assert any(line[0].startswith(row["collect"]) and line[1:] == (*lengths, str(row["calls"])) for line in table)


def test_soak():
    table = rows(RESULTS / "soak.md")[2:]
    found = record("soak-simulated-seed0")["rows"]
    assert len(found) == len(table)
    for row, line in zip(found, table, strict=True):
        assert line[2] == str(len(row["violations"]))
        assert line[1] == ("1" if row["check"] == "memory" else str(row["runs"]))


def test_pipelines():
    table = rows(RESULTS / "pipelines.md")
    for line in table:
        if line[0].partition(".py")[1]:
            (file,) = (ROOT / "experiments" / "results").glob(f"{line[6].partition(']')[0][1:]}*.json")
            found = json.loads(file.read_text(encoding="utf-8"))
            heldout = found["score"]["heldout"]
            shown = [f"{heldout[when]:.3f} ({heldout['lenient'][when]:.3f})" for when in ("before", "after")]
            assert line[2:5] == (*shown, str(heldout["n"]))
            assert line[5] == f"{found['spent']['calls']:,}"


def test_ranges_of_blame():
    cells = record("blame-intervals-simulated-seed0")["cells"]
    table = {row[:2]: row[2:] for row in rows(RESULTS / "blame-ranges.md")}
    for reader in dict.fromkeys(one["reader"] for one in cells):
        for checks in (0, 8):
            some = [one for one in cells if (one["reader"], one["checks"]) == (reader, checks)]
            each = [
                [one for one in some if one["failures"] == size and one["through"] != "diagnose"]
                for size in (15, 40, 100)
            ]
            widths, held, right = (
                [f"{_over_shares(one, key):.2f}" for one in each] for key in ("width", "covered", "if_right")
            )
            assert table[reader, str(checks)] == (*held, " / ".join(widths), " / ".join(right))
        for one in (one for one in cells if (one["reader"], one["through"]) == (reader, "diagnose")):
            held, width, right = (f"{_over_shares([one], key):.2f}" for key in ("covered", "width", "if_right"))
            assert table[f"{reader}, through diagnose", "8"] == (held, "", "", width, right)


def _over_shares(cells: list[dict[str, Any]], key: str) -> float:
    total = sum(one[key] * (one["shares"] if key == "width" else 1) for one in cells)
    return total / sum(one["shares"] for one in cells)


def test_claims():
    kept, table = record("claims-simulated"), rows(RESULTS / "claims.md")
    cells: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in (dict(zip(kept["columns"], one, strict=True)) for one in kept["rows"]):
        cells[str(row["predictors"]), row["scores"]].append(row)
    assert len(cells) == 6
    for cell, runs in cells.items():
        returned, claimed = (sum(one[name] for one in runs) for name in ("returned", "claimed"))
        shown = (*cell, str(len(runs)), str(returned), str(claimed), f"{claimed / len(runs):.3f}")
        assert shown in [line[:6] for line in table]


def test_prompt_cache():
    table = rows(RESULTS / "prompt-cache.md")
    runs = defaultdict(list)
    for row in record("prompt-cache-simulated")["rows"]:
        runs[row["pipeline"].upper(), row["method"]].append(row)
    for names, found in runs.items():
        questions = "/".join(str(row["questions"]) for row in found)
        alike = f"{sum(row['alike'] for row in found) / len(found):.2f}"
        tokens = f"{sum(row['tokens'] for row in found) / len(found):,.0f}"
        billed = [f"{sum(row['billed'][at] for row in found) / len(found):.2f}" for at in (0, 1)]
        assert (*names, questions, alike, tokens, *billed) in table


def test_what_the_paper_s_study_would_cost():
    lines = [line for line in rows(RESULTS / "paper.md") if len(line) == 6][2:]
    assert len(lines) == 5
    for line in lines:
        program, own, held_out, most = (int(cell.replace(",", "")) for cell in line[1:5])
        usd = Bill(line[0], (program, own, held_out), most).usd(PUBLISHED["program"], PUBLISHED["optimizer"])
        assert line[5] == f"{usd:.2f}"
