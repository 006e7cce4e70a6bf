// Every instruction: what became of it, with one change taken back, and as plain text to copy.
import { useMemo, useState } from "preact/hooks";
import { html } from "./html.js";
import { Block, Choice, Copy, Diff, Fold, Missing, Text, changesOf, pieces, without } from "./text.js";
import { plural } from "./format.js";

const MOST = 40; // Characters of a change that name it on its button.
const clip = (text) => (text.length > MOST ? `${text.slice(0, MOST)}…` : text);

export function Changes({ instructions: { before, after }, done }) {
  if (!done) return html`<${Missing}>the run had not ended, so nothing was decided; the steps below say what was tried.<//>`;
  const changed = Object.keys(after).filter((name) => after[name] !== before[name]);
  const same = Object.keys(before).filter((name) => !changed.includes(name));
  return html`
    ${!changed.length && html`<p class="quiet">No instruction was changed.</p>`}
    ${changed.map((name) => html`<${Instruction} key=${name} name=${name} before=${before[name] ?? ""} after=${after[name]} />`)}
    ${same.length > 0 &&
    html`<${Fold} summary=${`${plural(same.length, "instruction")} as before`}>
      ${() => same.map((name) => html`<article class="card"><header><h3><${Text}>${name}<//></h3><${Copy} text=${before[name]} /></header><${Block} text=${before[name]} /></article>`)}
    <//>`}
  `;
}

function Instruction({ name, before, after }) {
  const [view, setView] = useState("diff");
  const found = useMemo(() => pieces(before, after), [before, after]);
  const changes = found ? changesOf(found) : [];
  const back = changes[view];
  const text = back ? without(found, back) : view === "before" ? before : after;
  return html`<article class="card">
    <header>
      <h3><${Text}>${name}<//></h3>
      <${Choice} label="What to show" value=${view} onChoose=${setView} options=${[["diff", "Changes"], ["before", "Before"], ["after", "After"]]} />
      <${Copy} text=${text} label=${back ? "Copy this" : view === "before" ? "Copy before" : "Copy after"} />
    </header>
    ${back
      ? html`<p class="note">The new instruction with change ${view + 1} alone taken back. What that is worth was not measured.</p><${Diff} before=${after} after=${text} />`
      : view === "diff" ? html`<${Diff} before=${before} after=${after} />` : html`<${Block} text=${text} />`}
    ${changes.length > 1 &&
    html`<div class="back"><span class="note">Take back one change:</span>
      ${changes.map((one, at) => html`<button type="button" class="plain" aria-pressed=${view === at} title=${clip((one.come || one.gone).trim())} onClick=${() => setView(view === at ? "diff" : at)}>${at + 1}</button>`)}
    </div>`}
  </article>`;
}
