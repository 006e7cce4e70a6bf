// What the run spent: the curve over time, and the ledger by purpose and by predictor.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { html } from "./html.js";
import { Choice, Missing, Text } from "./text.js";
import { compact, count, dollars, plural, tokens, total } from "./format.js";

const UNITS = { usd: ["US dollars", dollars], tokens: ["Tokens", compact], calls: ["Calls", compact] };
const PURPOSES = {
  forward: "The start, and all programs on examples to learn from",
  gate: "Candidates, on examples to decide on",
  metric: "The metric's own calls",
  backward: "Gradients",
  propose: "New instructions",
  final: "The program, at the end",
};

export function Cost({ run }) {
  return html`<${Curve} points=${run.curve} why=${run.no_curve} />
    <div class="two">
      <${Ledger} title="By purpose" spent=${run.spent} names=${PURPOSES} />
      <${Ledger} title="By predictor" spent=${run.spent_by_predictor} names=${{ "": "For none" }} />
    </div>
    ${unsure(total(run.spent)).map((text) => html`<p class="note">${text}</p>`)}
    <p class="note">${count(run.metric_calls)} calls of the metric. ${run.usd_per_point ? `${dollars(run.usd_per_point)} for each metric point gained.` : ""}</p>`;
}

// What the table leaves out.
const unsure = ({ usd, unpriced, unsure_tokens, unsure_usd, cached, reused, cache_read_tokens, cache_write_tokens }) =>
  [
    unpriced && `The price of ${plural(unpriced, "answer")} is not known${usd ? "; the US dollars leave them out" : ""}.`,
    unsure_tokens && `Requests without a readable answer may have cost up to ${count(unsure_tokens)} tokens${unsure_usd ? ` (${dollars(unsure_usd)})` : ""} more.`,
    cache_read_tokens && `${count(cache_read_tokens)} of the tokens sent were read from the provider's prompt cache.`,
    cache_write_tokens && `${count(cache_write_tokens)} tokens were written to the provider's prompt cache.`,
    cached && `${plural(cached, "answer")} came from a cache and cost nothing.`,
    reused && `${plural(reused, "request")} were not sent: the answer was known from an earlier execution.`,
  ].filter(Boolean);

function Curve({ points, why }) {
  const priced = points.some((one) => one.usd);
  const [unit, setUnit] = useState(priced ? "usd" : "tokens");
  const place = useRef(null);
  const [colours, setColours] = useState(0);
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const again = () => setColours((now) => now + 1);
    dark.addEventListener("change", again);
    return () => dark.removeEventListener("change", again);
  }, []);
  useEffect(() => {
    if (!place.current || points.length < 2) return undefined;
    const plot = drawn(place.current, points, unit);
    const watch = new ResizeObserver(([{ contentRect }]) => plot.setSize({ width: contentRect.width, height: 220 }));
    watch.observe(place.current);
    return () => (watch.disconnect(), plot.destroy());
  }, [points, unit, colours]);
  if (points.length < 2) return html`<${Missing}>the cost over time. <${Text}>${why}<//><//>`;
  const units = Object.entries(UNITS).filter(([name]) => name !== "usd" || priced);
  return html`<div class="curve"><${Choice} label="Unit" options=${units.map(([name, [title]]) => [name, title])} value=${unit} onChoose=${setUnit} />
    <div class="plot" ref=${place} role="img" aria-label=${`${UNITS[unit][0]} spent over time, ${UNITS[unit][1](points.at(-1)[unit])} at the end`}></div>
    ${points.some(ofStep) && html`<p class="note">Vertical lines: the ends of steps.</p>`}</div>`;
}

const ofStep = (one) => one.step !== undefined;
const exact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 2 }).format;

// So many seconds lines may stand apart, and a time in the unit in which two lines never read the same.
const TIMES = [...[0.001, 0.01, 0.1].flatMap((one) => [one, 2 * one, 5 * one]), 1, 2, 5, 10, 15, 30, ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3000, 6000, 12000].map((one) => 60 * one)];
const time = (seconds, apart) => (apart < 60 ? `${Number(seconds.toFixed(3))} s` : apart < 3600 ? `${seconds / 60} min` : `${seconds / 3600} h`);

function drawn(place, points, unit) {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px sans-serif" };
  const steps = points.filter(ofStep);
  const marks = (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour("--mark");
    ctx.setLineDash([2, 4]);
    for (const { seconds } of steps) {
      const x = Math.round(plot.valToPos(seconds, "x", true));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  };
  return new uPlot(
    {
      width: place.clientWidth,
      height: 220,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, high || 1] } },
      axes: [
        { ...axis, incrs: TIMES, values: (_, ticks, axis, space, apart) => ticks.map((one) => time(one, apart)) },
        { ...axis, size: 64, values: (_, ticks) => ticks.map(unit === "usd" ? dollars : exact) },
      ],
      series: [{}, { stroke: colour("--accent"), width: 2, fill: colour("--tint"), points: { show: false } }],
      hooks: { drawAxes: [marks] },
    },
    [[0, ...points.map((one) => one.seconds)], [0, ...points.map((one) => one[unit])]],
    place,
  );
}

export function Ledger({ title, spent, names }) {
  const priced = total(spent).usd > 0;
  const rows = Object.entries(spent).sort(([, one], [, other]) => tokens(other) - tokens(one));
  const row = (name, amount, kind = "") =>
    html`<tr class=${kind}><td><${Text}>${names[name] ?? name}<//></td><td class="num">${count(amount.calls)}</td><td class="num">${compact(tokens(amount))}</td>${priced && html`<td class="num">${amount.usd ? dollars(amount.usd) : ""}</td>`}</tr>`;
  return html`<div class="scroll"><table><thead><tr><th>${title}</th><th>Calls</th><th>Tokens</th>${priced && html`<th>US dollars</th>`}</tr></thead>
    <tbody>${rows.map(([name, amount]) => row(name, amount))}${row("Total", total(spent), "sum")}</tbody></table></div>`;
}
