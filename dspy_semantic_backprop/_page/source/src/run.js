// The page of one run.
import { html } from "./html.js";
import { Lead, changedOf, paired, unpaired } from "./lead.js";
import { Changes } from "./changes.js";
import { ProgramGraph } from "./graph.js";
import { Steps } from "./steps.js";
import { Outcomes } from "./examples.js";
import { Cost } from "./cost.js";
import { plural } from "./format.js";

// The data with what several parts look up in it.
export function prepared(run) {
  const start = run.instructions.before;
  const candidates = new Map(run.candidates.map((one) => [one.number, one]));
  const scores = Object.fromEntries(run.candidates.map((one) => [one.number, one.scores]));
  const decided = new Map(run.examples.filter((one) => !one.learned).map((one) => [one.example, one]));
  const apart = run.examples.filter((one) => one.learned);
  const learned = apart.length ? new Map(apart.map((one) => [one.example, one])) : decided;
  const instructionsOf = (number) => (candidates.has(number) ? { ...start, ...candidates.get(number).instructions } : number === 0 ? start : undefined);
  const same = (one) => Object.entries(run.instructions.after).every(([name, text]) => ({ ...start, ...one.instructions })[name] === text);
  return { ...run, scores, decided, learned, instructionsOf, returned: run.ending ? run.candidates.find(same)?.number : undefined };
}

export const Section = ({ id, title, children }) => html`<section id=${id} aria-labelledby=${`${id}-title`}><h2 id=${`${id}-title`}>${title}</h2>${children}</section>`;
export const Nav = ({ parts }) => html`<nav aria-label="Parts of the report">${parts.map(([id, title]) => html`<a href=${`#${id}`}>${title}</a>`)}</nav>`;

const PARTS = [["changes", "Instructions"], ["graph", "Graph and blame"], ["steps", "Steps"], ["examples", "Before and after"], ["cost", "Cost"]];

export function Run({ run }) {
  return html`<${Nav} parts=${PARTS} />
    <${Lead} run=${run} />
    <${Section} id="changes" title="Instructions"><${Changes} instructions=${run.instructions} done=${Boolean(run.ending)} /><//>
    <${Section} id="graph" title="Graph and blame"><${ProgramGraph} run=${run} /><//>
    <${Section} id="steps" title="Steps"><${Steps} run=${run} /><//>
    <${Section} id="examples" title="Before and after"><${BeforeAfter} run=${run} /><//>
    <${Section} id="cost" title="Cost"><${Cost} run=${run} /><//>`;
}

function BeforeAfter({ run }) {
  const both = paired(run);
  if (!both) return html`<p class="quiet">Nothing to compare: ${unpaired(run)}.</p>`;
  if (!changedOf(run.instructions).length) return html`<p class="quiet">The program came back as it was given: there is nothing to compare.</p>`;
  return html`<p class="quiet">The start against what was returned, on ${plural(both.ids.length, "example")} that both were run on: ${both.fixes.length} better, ${both.regressions.length} worse.</p>
    <${Outcomes} run=${run} before=${0} after=${run.returned} fixes=${both.fixes} regressions=${both.regressions} />`;
}
