// Examples that two candidates score differently: what went in, what was expected, and both answers.
import { useMemo, useState } from "preact/hooks";
import { html } from "./html.js";
import { Block, Choice, Diff, Fold, Missing, Text } from "./text.js";
import { known, score } from "./format.js";

const FIRST = 10;

export const Fields = ({ title, values }) =>
  html`<div class="fields"><h4>${title}</h4>
    ${Object.keys(values).length ? Object.entries(values).map(([name, text]) => html`<div class="field">${name && html`<span class="label"><${Text}>${name}<//></span>`}<${Block} text=${text} /></div>`) : html`<p class="quiet">nothing</p>`}
  </div>`;

// Fixed and broken examples between two candidates of a run.
export function Outcomes({ run, before, after, fixes, regressions }) {
  const kinds = [["fixed", `Fixed ${fixes.length}`], ["broken", `Broken ${regressions.length}`]];
  const [kind, setKind] = useState(fixes.length || !regressions.length ? "fixed" : "broken");
  const [most, setMost] = useState(FIRST);
  const ids = kind === "fixed" ? fixes : regressions;
  if (!fixes.length && !regressions.length) return html`<p class="quiet">Every example has the same score before and after.</p>`;
  return html`<div class="outcomes">
    <${Choice} label="Which examples" options=${kinds} value=${kind} onChoose=${(one) => (setKind(one), setMost(FIRST))} />
    ${!ids.length && html`<p class="quiet">None.</p>`}
    ${ids.slice(0, most).map((id) => html`<${One} key=${`${kind} ${id}`} run=${run} id=${id} before=${before} after=${after} />`)}
    ${ids.length > most && html`<button type="button" class="plain" onClick=${() => setMost(most + 50)}>Show more (${ids.length - most})</button>`}
  </div>`;
}

function One({ run, id, before, after }) {
  const example = run.decided.get(id);
  const [old, now] = [before, after].map((candidate) => run.scores[candidate]?.[id]);
  const first = example && Object.values(example.inputs)[0];
  return html`<${Fold} kind="row" summary=${html`<span class="id">${id}</span><span class="teaser"><${Text}>${first ?? `example ${id}`}<//></span><span class="num">${known(old) || known(now) ? `${score(old)} → ${score(now)}` : ""}</span>`}>
    ${() => (example ? html`<${Pair} example=${example} before=${before} after=${after} />` : html`<${Missing}>the example and what was answered.<//>`)}
  <//>`;
}

export function Pair({ example, before, after }) {
  return html`<div class="two"><${Fields} title="Inputs" values=${example.inputs} /><${Fields} title="Expected" values=${example.expected} /></div>
    <${Answers} before=${example.answers[before]} after=${example.answers[after]} />`;
}

export const Answers = ({ before, after }) =>
  html`<div class="two"><${Side} title="Before" answer=${before} /><${Side} title="After" answer=${after} other=${before} /></div>
    ${before && after && html`<${Calls} before=${before.calls} after=${after.calls} />`}`;

function Side({ title, answer }) {
  if (!answer) return html`<div class="fields"><h4>${title}</h4><${Missing}>what it answered.<//></div>`;
  return html`<div><${Fields} title=${`${title}: ${score(answer.score)}`} values=${answer.returned} />
    ${answer.error && html`<p class="error"><${Text}>${answer.error}<//></p>`}
    ${answer.feedback && html`<p class="feedback" dir="auto"><${Text}>${answer.feedback}<//></p>`}</div>`;
}

function Calls({ before, after }) {
  const names = useMemo(() => [...new Set([...Object.keys(before), ...Object.keys(after)])], [before, after]);
  if (!names.length) return null;
  return html`<${Fold} kind="small" summary="What every call wrote, before and after">
    ${() => names.map((name) => html`<div class="field"><span class="label"><${Text}>${name}<//></span><${Diff} before=${before[name] ?? ""} after=${after[name] ?? ""} /></div>`)}
  <//>`;
}
