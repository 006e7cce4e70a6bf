// Texts of models: shown as they are, with what cannot be seen made visible; compared word by word; copied exactly.
import { Fragment } from "preact";
import { useMemo, useState } from "preact/hooks";
import { diffArrays } from "diff";
import { html } from "./html.js";

const UNSEEN = /(?![\t\n\u200c\u200d]|\r\n)[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu;
const code = (one) => `U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

// A text in which characters that turn, hide or break text stand as their names.
export function Text({ children }) {
  const text = String(children ?? "");
  const parts = [];
  let last = 0;
  for (const { 0: found, index } of text.matchAll(UNSEEN)) {
    parts.push(text.slice(last, index), html`<span class="unseen" title="an invisible character">${code(found)}</span>`);
    last = index + found.length;
  }
  return html`<${Fragment}>${parts}${text.slice(last)}<//>`;
}

export const Block = ({ text, kind = "" }) =>
  html`<div class="text ${kind}" dir="auto" tabindex="0">${text ? html`<${Text}>${text}<//>` : html`<span class="faint">empty</span>`}</div>`;

const words = new Intl.Segmenter(undefined, { granularity: "word" });
const split = (text) => Array.from(words.segment(text), (one) => one.segment);
const NEAR = 2; // Unchanged words between two changes that are shown as one.

// The pieces of a text and what became of it: {same} or {gone, come}; null where that takes too long to find out.
export function pieces(before, after) {
  const found = diffArrays(split(before), split(after), { timeout: 400 });
  if (!found) return null;
  const out = [];
  for (const { added, removed, value } of found) {
    const text = value.join("");
    const last = out.at(-1);
    if (!added && !removed) {
      out.push({ same: text, words: value.filter((one) => one.trim()).length });
    } else {
      const near = last?.same !== undefined && last.words <= NEAR && out.length > 1 && !last.same.includes("\n");
      const gap = near ? out.pop().same : "";
      let change = out.at(-1);
      if (change?.same !== undefined || !change) out.push((change = { gone: "", come: "" }));
      change.gone += gap + (removed ? text : "");
      change.come += gap + (added ? text : "");
    }
  }
  return out;
}

export const changesOf = (found) => found.filter((one) => one.same === undefined);
export const without = (found, change) =>
  found.map((one) => one.same ?? (one === change ? one.gone : one.come)).join("");

export function Diff({ before, after }) {
  const found = useMemo(() => pieces(before, after), [before, after]);
  if (!found) return html`<p class="note">The two differ too much to be compared word by word.</p><${Block} text=${before} kind="gone" /><${Block} text=${after} kind="come" />`;
  return html`<div class="text" dir="auto" tabindex="0">
    ${found.map((one) =>
      one.same !== undefined
        ? html`<${Text}>${one.same}<//>`
        : html`${one.gone && html`<del><${Text}>${one.gone}<//></del>`}${one.come && html`<ins><${Text}>${one.come}<//></ins>`}`,
    )}
  </div>`;
}

export function Copy({ text, label = "Copy" }) {
  const [done, setDone] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone("Copied");
    } catch {
      setDone(copyBySelection(text) ? "Copied" : "Select the text and copy it");
    }
    setTimeout(() => setDone(""), 2000);
  };
  return html`<button type="button" class="plain" onClick=${copy} aria-live="polite">${done || label}</button>`;
}

// A file that is opened from a disk may have no clipboard of its own.
function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

// A part that is drawn when it is first opened: of a hundred steps most never are.
export function Fold({ summary, children, open = false, kind = "" }) {
  const [shown, setShown] = useState(open);
  return html`<details class="fold ${kind}" open=${open} onToggle=${(event) => event.target.open && setShown(true)}>
    <summary>${summary}</summary>
    ${shown && html`<div class="inside">${children()}</div>`}
  </details>`;
}

export function Choice({ options, value, onChoose, label }) {
  return html`<div class="choice" role="group" aria-label=${label}>
    ${options.map(
      ([name, title]) =>
        html`<button type="button" aria-pressed=${value === name} onClick=${() => onChoose(name)}>${title}</button>`,
    )}
  </div>`;
}

export const Missing = ({ children }) => html`<p class="missing">Not recorded: ${children}</p>`;
