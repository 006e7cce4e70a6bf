// The gradients that a predictor's calls received, beside the example that they are about.
import { useState } from "preact/hooks";
import { html } from "./html.js";
import { Fold, Text } from "./text.js";
import { Fields } from "./examples.js";
import { plural } from "./format.js";

const [FIRST, MOST] = [6, 5]; // How many texts are shown at first, and how many occasions of one.
export const predictorOf = (call) => call.replace(/\[\d+\]$/, "");

// What calls of one predictor were told, newest step first; of all predictors without a name.
export function learnedFrom({ steps }, name) {
  return steps
    .flatMap((step) =>
      step.gradients.flatMap(({ example, calls }) =>
        Object.entries(calls)
          .filter(([call]) => name === undefined || predictorOf(call) === name)
          .map(([call, text]) => ({ step: step.step, parent: step.parent, example, call, text })),
      ),
    )
    .reverse();
}

export function Told({ told, run }) {
  const [most, setMost] = useState(FIRST);
  const asked = told.filter((one) => one.text);
  if (!told.length) return html`<p class="quiet">No finished step sent it a gradient.</p>`;
  if (!asked.length) return html`<p class="quiet">In ${plural(told.length, "call")} looked at, nothing was asked to change.</p>`;
  const texts = [...Map.groupBy(asked, (one) => one.text)];
  return html`<p class="note">Asked to change in ${asked.length} of ${plural(told.length, "call")} looked at.</p>
    <ol class="told">${texts.slice(0, most).map(([text, times]) => html`<${Gradient} key=${text} text=${text} times=${times} run=${run} />`)}</ol>
    ${texts.length > most && html`<button type="button" class="plain" onClick=${() => setMost(most + 20)}>Show more (${texts.length - most})</button>`}`;
}

const where = (one) => html`step ${one.step + 1} · example ${one.example} · <${Text}>${one.call}<//>`;

function Gradient({ text, times, run }) {
  const occasions = () => times.slice(0, MOST).map((one) => (times.length > 1 ? html`<p class="note">${where(one)}</p>` : "")).map((title, at) => html`${title}<${Occasion} one=${times[at]} run=${run} />`);
  return html`<li>
    <p class="gradient" dir="auto"><${Text}>${text}<//></p>
    <${Fold} kind="small" summary=${html`<span class="note">${times.length > 1 ? `said ${times.length} times` : where(times[0])}</span>`}>
      ${() => html`${occasions()}${times.length > MOST && html`<p class="note">and ${times.length - MOST} times more</p>`}`}
    <//>
  </li>`;
}

// The failure that a gradient is about.
function Occasion({ one, run }) {
  const found = run.learned.get(one.example);
  if (!found) return html`<p class="missing">The example was not recorded.</p>`;
  const answer = found.answers[one.parent];
  return html`<${Fields} title="Inputs" values=${found.inputs} />
    <${Fields} title="Expected" values=${found.expected} />
    ${answer
      ? html`${answer.calls[one.call] !== undefined && html`<${Fields} title="This call wrote" values=${{ "": answer.calls[one.call] }} />`}
          <${Fields} title="Returned" values=${answer.returned} />
          ${answer.feedback && html`<${Fields} title="The metric said" values=${{ "": answer.feedback }} />`}`
      : html`<p class="missing">What it answered was not recorded.</p>`}`;
}
