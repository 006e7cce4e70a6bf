// Step by step: what was proposed, what became of it, and on which examples it did better and worse.
import { useState } from "preact/hooks";
import { html } from "./html.js";
import { Diff, Fold, Text } from "./text.js";
import { Interval } from "./interval.js";
import { Outcomes } from "./examples.js";
import { Told, learnedFrom } from "./told.js";
import { count, gain, known, plural, score } from "./format.js";

const VERDICTS = {
  accepted: ["good", "accepted"],
  rejected: ["", "rejected"],
  empty: ["faint", "no usable proposal"],
  same: ["faint", "nothing changed"],
  seen: ["faint", "tried before"],
};

// Scores on all examples that both programs ran on: those to decide on, and those to learn from where these count, too.
function scored({ compared, before, after, learned }) {
  const parts = [[compared, before, after], [learned?.examples, learned?.before, learned?.after]].filter(([many]) => many);
  const many = parts.reduce((sum, [one]) => sum + one, 0);
  const mean = (at) => parts.reduce((sum, part) => sum + part[0] * part[at], 0) / many;
  return many ? { many, before: mean(1), after: mean(2) } : null;
}

export function Steps({ run }) {
  const scale = Math.max(...run.steps.flatMap((step) => (step.interval ?? []).map(Math.abs)), 1e-9);
  if (!run.steps.length) return html`<p class="quiet">No step was finished.</p>`;
  return html`<p class="note">Accepted: the search went on from there. What is claimed in the end stands at the top.</p>
    <div class="steps">${run.steps.map((step) => html`<${Step} key=${step.step} step=${step} run=${run} scale=${scale} />`)}</div>
    <${Candidates} run=${run} />`;
}

function Step({ step, run, scale }) {
  const [tone, verdict] = VERDICTS[step.verdict] ?? ["", step.verdict];
  const both = scored(step);
  // The interval is one of the examples to decide on alone.
  const [low, high] = (!step.learned && step.interval) || [];
  const summary = html`<span class="number">${step.step + 1}</span>
    <span class="what"><span class="pill ${tone}">${verdict}</span> <span class="names"><${Text}>${step.changed.join(", ")}<//></span></span>
    <span class="num">${both ? html`${gain(both.after - both.before)} <span class="faint">on ${both.many}</span>` : html`<span class="faint">not evaluated</span>`}</span>
    <${Interval} value=${both && both.after - both.before} low=${low} high=${high} scale=${scale} />
    <span class="num tally">${both && html`<span class="better" title="examples fixed">+${step.fixes.length + (step.learned?.fixes ?? 0)}</span> <span class="worse" title="examples broken">−${step.regressions.length + (step.learned?.regressions ?? 0)}</span>`}</span>`;
  return html`<${Fold} kind="step" summary=${summary}>${() => html`<${Inside} step=${step} run=${run} both=${both} />`}<//>`;
}

const arrow = (one) => `${score(one.before)} → ${score(one.after)}`;

function Inside({ step, run, both }) {
  const old = run.instructionsOf(step.parent);
  const [low, high] = (!step.learned && step.interval) || [];
  const evaluated = step.candidates.find((number) => step.changed.length && step.changed.every((name) => run.instructionsOf(number)?.[name] === step.proposed[name]));
  return html`
    ${both
      ? html`<p>Score ${arrow(both)} on ${plural(both.many, "example")}${step.learned && `: ${step.compared ? `${arrow(step)} on ${step.compared}` : "none"} to decide on, ${arrow(step.learned)} on ${step.learned.examples} to learn from`}${known(low) && html`; the gain is 90 % sure to lie between ${gain(low)} and ${gain(high)}`}${!step.learned && known(step.p_value) && html`; p = ${Number(step.p_value.toPrecision(2))} for this step alone`}. ${step.missing > 0 && `${plural(step.missing, "example")} could not be compared: the provider failed.`}</p>`
      : html`<p>The proposal was not evaluated.</p>`}
    ${Object.keys(step.gains).length > 0 && html`<p class="note">What decides: the gain expected of each edit, by all scores of the run so far: ${Object.entries(step.gains).map(([name, one], at) => html`${at ? "; " : ""}<${Text}>${name}<//> ${gain(one)}`)}</p>`}
    ${step.changed.map((name) => html`<section class="proposal"><h4><${Text}>${name}<//></h4>${old ? html`<${Diff} before=${old[name] ?? ""} after=${step.proposed[name]} />` : html`<p class="missing">The text that it was made from was not recorded.</p><${Diff} before="" after=${step.proposed[name]} />`}</section>`)}
    ${Object.entries(step.refused).map(([name, why]) => html`<p class="refused"><b><${Text}>${name}<//></b>: the proposal was refused. <${Text}>${why}<//></p>`)}
    ${step.compared > 0 && html`<h4>Examples to decide on</h4><${Outcomes} run=${run} before=${step.parent} after=${evaluated} fixes=${step.fixes} regressions=${step.regressions} />`}
    ${Object.keys(step.by_class).length > 1 && html`<${Classes} classes=${step.by_class} />`}
    <${Fold} kind="small" summary=${`What it learned from: ${plural(new Set(step.examples).size, "example")}`}>
      ${() => html`<${Told} told=${learnedFrom({ steps: [step] }).reverse()} run=${run} />`}
    <//>`;
}

const Classes = ({ classes }) =>
  html`<div class="scroll"><table><thead><tr><th>Label</th><th>Compared</th><th>Fixed</th><th>Broken</th></tr></thead>
    <tbody>${Object.entries(classes).map(([name, counts]) => html`<tr><td><${Text}>${name}<//></td>${counts.map((one) => html`<td class="num">${count(one)}</td>`)}</tr>`)}</tbody></table></div>`;

function Candidates({ run }) {
  const [most, setMost] = useState(100);
  if (run.candidates.length < 2) return null;
  const start = run.candidates[0].scores;
  const rows = run.candidates.slice(0, most).map((one) => {
    const both = Object.keys(one.scores).filter((id) => id in start);
    const value = both.length ? both.reduce((sum, id) => sum + one.scores[id] - start[id], 0) / both.length : null;
    return html`<tr class=${one.number === run.returned ? "chosen" : ""}>
      <td class="num">${one.number}</td><td class="num">${one.step < 0 ? "" : one.parent}</td><td class="num">${one.step < 0 ? "start" : one.step + 1}</td>
      <td><${Text}>${Object.keys(one.instructions).join(", ")}<//>${one.number === run.returned && html` <span class="pill good">returned</span>`}</td>
      <td class="num">${Object.keys(one.scores).length}</td><td class="num">${known(one.score) ? score(one.score) : ""}</td><td class="num">${one.number && known(value) ? gain(value) : ""}</td>
    </tr>`;
  });
  return html`<${Fold} summary=${`All ${plural(run.candidates.length, "candidate")}`}>
    ${() => html`<div class="scroll"><table><thead><tr><th>No.</th><th>From</th><th>Step</th><th>Changes</th><th>Examples to decide on</th><th>Score</th><th title="on the same examples">Gain on the start</th></tr></thead><tbody>${rows}</tbody></table></div>
      ${run.candidates.length > most && html`<button type="button" class="plain" onClick=${() => setMost(most + 500)}>Show more</button>`}`}
  <//>`;
}
