// What the run changed, and what is claimed for it: the first screen.
import { html } from "./html.js";
import { Fold, Text } from "./text.js";
import { Interval } from "./interval.js";
import { compact, count, dollars, duration, gain, known, plural, score, tokens, total } from "./format.js";

const NAMED = 6; // Changed predictors that are named; all of them stand under Instructions.
const named = (all) => (all.length > NAMED ? `${all.slice(0, NAMED).join(", ")} and ${all.length - NAMED} more` : all.join(", ") || "none");

export const changedOf = ({ before, after }) => Object.keys(after).filter((name) => after[name] !== before[name]);

// The start and what was returned, on the examples that both were run on; null where that was not recorded.
export function paired({ scores, returned }) {
  const [start, end] = [scores[0], scores[returned]];
  if (!start || !end || !Object.keys(start).length) return null;
  const ids = Object.keys(start).filter((id) => id in end).map(Number);
  const mean = (one) => ids.reduce((sum, id) => sum + one[id], 0) / ids.length;
  const better = (id) => end[id] - start[id];
  return {
    ids,
    all: Object.keys(end).length,
    before: mean(start),
    after: mean(end),
    fixes: ids.filter((id) => better(id) > 1e-9),
    regressions: ids.filter((id) => better(id) < -1e-9),
  };
}

// Why there is no such pair.
export const unpaired = ({ ending, scores, returned }) =>
  !ending ? "not recorded before the end" : scores[0] && scores[returned] && Object.keys(scores[0]).length ? "no example has a score of both" : "no example was scored";

// The endings that came before a decision by their words, as `Ending` in Python has them.
const [FAILED, INTERRUPTED] = ["the run failed", "the run was interrupted"];
const EARLY = [FAILED, INTERRUPTED, "the log could not be written"];
const failed = (run) => run.ending === FAILED;

function claim(run) {
  const { final, ending } = run;
  if (failed(run)) return ["bad", "The run ended with an error"];
  if (!ending) return ["open", "The run is not finished"];
  if (!final && ending !== INTERRUPTED && run.candidates.length < 2) return ["same", "No candidate was found"];
  if (!final && changedOf(run.instructions).length) return ["open", "What was accepted came back, without a decision at the end"];
  if (!final && !EARLY.includes(ending)) {
    const accepted = run.steps.some((step) => step.verdict === "accepted");
    return ["same", accepted ? "Nothing that was tried is expected to be better" : "No proposal was accepted"];
  }
  if (!final) return ["open", `${ending === INTERRUPTED ? "The run was interrupted" : "The run ended"} before it could decide`];
  if (!final.returned) return ["same", "The program came back as it was given"];
  if (!changedOf(run.instructions).length) return ["same", "Nothing was changed"];
  return final.proven ? ["good", "Better, and more than luck"] : ["likely", "Probably better, not proven"];
}

export const Fact = ({ name, children, note }) =>
  html`<div class="fact"><dt>${name}</dt><dd>${children}</dd>${note && html`<dd class="note">${note}</dd>`}</div>`;

const arrow = html`<span class="faint" aria-label="to"> → </span>`;

export function Lead({ run }) {
  const { final, score: scores, instructions } = run;
  const [tone, headline] = claim(run);
  const changed = changedOf(instructions);
  const spent = total(run.spent);
  const all = Object.keys(instructions.before).length;
  const [low, high] = final?.interval ?? [];
  const both = paired(run);
  return html`<header class="lead">
    <p class="eyebrow">Run report${run.method && html` · ${run.method}`} · seed ${run.seed}</p>
    <h1><${Text}>${run.program || "A program"}<//></h1>
    <p class="claim ${tone}">${headline}</p>
    <p class="reason"><${Text}>${final && !failed(run) ? final.reason : run.reason}<//></p>
    ${failed(run) && html`<p class="ended">${final ? html`What follows is the best that it had by then: <${Text}>${final.reason}<//>.` : "Nothing was decided; what follows is what it had by then."}</p>`}
    <dl class="facts">
      ${run.ending
        ? html`<${Fact} name="Instructions changed" note=${named(changed)}>${changed.length}<span class="faint"> of ${all}</span><//>`
        : html`<${Fact} name="Instructions changed" note="not decided yet">? <span class="faint">of ${all}</span><//>`}
      ${known(final?.gain) &&
      html`<${Fact} name="Expected gain" note=${known(low) ? `90 % sure: ${gain(low)} to ${gain(high)}` : "no interval"}>
        ${gain(final.gain)}<${Interval} value=${final.gain} low=${low} high=${high} wide />
      <//>`}
      ${both
        ? html`<${Fact} name="Score, where decided" note=${`${plural(both.ids.length, "example")}${run.returned ? " that both ran on" : ""}${both.all > both.ids.length ? `, of ${both.all} of the new one` : ""}${run.returned && run.candidates.length > 2 ? "; the best of several tries, so it flatters" : ""}`}>${score(both.before)}${run.returned ? html`${arrow}${score(both.after)}` : ""}<//>`
        : html`<${Fact} name="Score, where decided" note=${unpaired(run)}>${run.ending ? "none" : "?"}<//>`}
      ${final?.examples > 0 &&
      html`<${Fact} name="Score, fresh examples" note=${`${plural(final.examples, "example")}; ${final.fixes} better, ${final.regressions} worse`}>
        ${score(final.before)}${arrow}${score(final.after)}
      <//>`}
      <${Fact} name="Spent" note=${`${spent.usd ? `${count(spent.calls)} calls, ` : ""}${compact(tokens(spent))} tokens${spent.usd && spent.unpriced ? `; ${count(spent.unpriced)} answers without a known price` : ""}`}>
        ${spent.usd ? dollars(spent.usd) : `${compact(spent.calls)} calls`}
      <//>
      <${Fact} name="Time" note=${plural(run.steps.length, "step")}>${duration(run.seconds)}<//>
    </dl>
    ${run.ending && final && !failed(run) && html`<p class="ended"><b>Ended:</b> <${Text}>${run.reason || run.ending}<//></p>`}
    <${Warnings} warnings=${run.warnings} />
  </header>`;
}

const SHOWN = 2;

function Warnings({ warnings }) {
  const list = (some) => html`<ul>${some.map((one) => html`<li><${Text}>${one}<//></li>`)}</ul>`;
  if (!warnings.length) return null;
  return html`<aside class="warnings" aria-label="Warnings">
    <p class="title">${plural(warnings.length, "warning")}</p>
    ${list(warnings.slice(0, SHOWN))}
    ${warnings.length > SHOWN && html`<${Fold} summary=${`${warnings.length - SHOWN} more`}>${() => list(warnings.slice(SHOWN))}<//>`}
  </aside>`;
}
