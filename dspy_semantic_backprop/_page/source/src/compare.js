// The page of two runs side by side.
import { useState } from "preact/hooks";
import { html } from "./html.js";
import { Block, Choice, Copy, Diff, Fold, Text } from "./text.js";
import { Interval } from "./interval.js";
import { Answers, Fields } from "./examples.js";
import { Fact } from "./lead.js";
import { Nav, Section } from "./run.js";
import { compact, count, dollars, gain, plural, score, tokens } from "./format.js";

const FIRST = 20;
const PARTS = [["instructions", "Instructions"], ["examples", "Examples"], ["cost", "Cost"]];

export function Comparison({ data }) {
  const { names, instructions, scores, spent, differing } = data;
  const apart = Object.keys(instructions).filter((name) => instructions[name][0] !== instructions[name][1]);
  const same = Object.keys(instructions).filter((name) => !apart.includes(name));
  return html`<${Nav} parts=${PARTS} />
    <header class="lead">
      <p class="eyebrow">Comparison of two runs</p>
      <h1><${Text}>${names[0]}<//> <span class="faint">and</span> <${Text}>${names[1]}<//></h1>
      <p class="claim ${scores && scores.interval[0] > 0 ? "good" : ""}">${claim(data)}</p>
      <p class="reason">${scores ? "Paired on the examples that both decided on. Each run chose its program on its own examples, so that both means flatter." : html`Scores cannot be paired: <${Text}>${data.unpaired}<//>`}</p>
      <dl class="facts">
        <${Fact} name="Instructions that differ">${apart.length}<span class="faint"> of ${Object.keys(instructions).length}</span><//>
        ${scores && html`
          <${Fact} name="Score on shared examples" note=${`${plural(scores.examples, "example")}; ${scores.fixes} better, ${scores.regressions} worse`}>${score(scores.before)}<span class="faint"> → </span>${score(scores.after)}<//>
          <${Fact} name="Difference" note=${`90 % sure: ${gain(scores.interval[0])} to ${gain(scores.interval[1])}`}>${gain(scores.gain)}<${Interval} value=${scores.gain} low=${scores.interval[0]} high=${scores.interval[1]} wide /><//>`}
        ${spent.map((one, at) => html`<${Fact} name=${html`Spent, <${Text}>${names[at]}<//>`} note=${one ? `${one.usd ? `${count(one.calls)} calls, ` : ""}${compact(tokens(one))} tokens` : "not recorded"}>${one ? (one.usd ? dollars(one.usd) : `${compact(one.calls)} calls`) : "–"}<//>`)}
      </dl>
    </header>
    <${Section} id="instructions" title="Instructions">
      ${apart.length > 0 && html`<p class="note key"><del><${Text}>${names[0]}<//></del> only <ins><${Text}>${names[1]}<//></ins> only</p>`}
      ${!apart.length && html`<p class="quiet">All instructions are the same.</p>`}
      ${apart.map((name) => html`<${Both} key=${name} name=${name} both=${instructions[name]} names=${names} />`)}
      ${same.length > 0 && html`<${Fold} summary=${`${plural(same.length, "instruction")} the same in both`}>${() => same.map((name) => html`<article class="card"><header><h3><${Text}>${name}<//></h3><${Copy} text=${instructions[name][0]} /></header><${Block} text=${instructions[name][0]} /></article>`)}<//>`}
    <//>
    <${Section} id="examples" title="Examples scored differently"><${Differing} differing=${differing} paired=${scores} unpaired=${data.unpaired} /><//>
    <${Section} id="cost" title="Cost"><${Costs} names=${names} spent=${spent} /><//>`;
}

function claim({ scores, names }) {
  if (!scores) return "Instructions only";
  const [low, high] = scores.interval;
  if (low > 0) return html`<span><${Text}>${names[1]}<//> scores more</span>`;
  return high < 0 ? html`<span><${Text}>${names[0]}<//> scores more</span>` : "No difference is shown";
}

function Both({ name, both, names }) {
  const [view, setView] = useState("diff");
  const [one, other] = both.map((text) => text ?? "");
  const missing = both.findIndex((text) => text === null);
  return html`<article class="card">
    <header><h3><${Text}>${name}<//>${missing >= 0 && html` <span class="faint">not in <${Text}>${names[missing]}<//></span>`}</h3>
      <${Choice} label="What to show" value=${view} onChoose=${setView} options=${[["diff", "Differences"], ["both", "Side by side"]]} />
    </header>
    ${view === "diff" ? html`<${Diff} before=${one} after=${other} />` : html`<div class="two sides">${[one, other].map((text, at) => html`<div><header><h4><${Text}>${names[at]}<//></h4><${Copy} text=${text} /></header><${Block} text=${text} /></div>`)}</div>`}
  </article>`;
}

function Differing({ differing, paired, unpaired }) {
  const [most, setMost] = useState(FIRST);
  if (!paired) return html`<p class="quiet">Scores cannot be paired: <${Text}>${unpaired}<//></p>`;
  if (!differing.length) return html`<p class="quiet">None of the ${plural(paired.examples, "shared example")}.</p>`;
  return html`<div class="outcomes">
    ${differing.slice(0, most).map((one, at) => html`<${Fold} kind="row" summary=${html`<span class="id">${at + 1}</span><span class="teaser"><${Text}>${Object.values(one.inputs)[0] ?? ""}<//></span><span class="num ${one.scores[1] > one.scores[0] ? "better" : "worse"}">${score(one.scores[0])} → ${score(one.scores[1])}</span>`}>
      ${() => html`<div class="two"><${Fields} title="Inputs" values=${one.inputs} /><${Fields} title="Expected" values=${one.expected} /></div><${Answers} before=${one.answers[0]} after=${one.answers[1]} />`}
    <//>`)}
    ${differing.length > most && html`<button type="button" class="plain" onClick=${() => setMost(most + 50)}>Show more (${differing.length - most})</button>`}
  </div>`;
}

const ROWS = [["Calls", (one) => count(one.calls)], ["Tokens sent", (one) => count(one.prompt_tokens)], ["Tokens received", (one) => count(one.completion_tokens)], ["US dollars", (one) => (one.usd || !one.unpriced ? dollars(one.usd) : "unknown")]];

const Costs = ({ names, spent }) => html`<div class="scroll"><table>
  <thead><tr><th></th>${names.map((name) => html`<th><${Text}>${name}<//></th>`)}</tr></thead>
  <tbody>${ROWS.map(([title, of]) => html`<tr><td>${title}</td>${spent.map((one) => html`<td class="num">${one ? of(one) : "not recorded"}</td>`)}</tr>`)}</tbody>
</table></div>`;
