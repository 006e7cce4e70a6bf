// The program's graph: who fed whom, how much of the blame each predictor got, and what it was told.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Graph, layout } from "@dagrejs/dagre";
import { html } from "./html.js";
import { Missing, Text } from "./text.js";
import { Told, learnedFrom } from "./told.js";
import { percent, plural } from "./format.js";

const [WIDTH, HEIGHT, END, LETTER, MARGIN] = [176, 56, 88, 8, 12];
const ENDS = { inputs: "inputs", returned: "returned" };
const LEAST = 0.75; // A larger graph is scrolled, not made smaller than this.
const [LONG, WIDE] = [30, 640];
// The middle goes: the end tells a name from its siblings.
const clip = (text) => (text.length > LONG ? `${text.slice(0, LONG / 2 - 1)}…${text.slice(-LONG / 2)}` : text);

// Mean share of the blame over the steps, each weighted by the failures that it learned from.
export function blameOf(steps) {
  const sums = {};
  let failures = 0;
  for (const step of steps) {
    if (!Object.keys(step.blame ?? {}).length) continue;
    failures += step.examples.length;
    for (const [name, share] of Object.entries(step.blame)) sums[name] = (sums[name] ?? 0) + share * step.examples.length;
  }
  return { failures, shares: Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / failures])) };
}

const widthOf = ({ predictor }) => Math.max(WIDTH, 24 + LETTER * Math.min(predictor.length, LONG));

function laidOut(graph) {
  const drawn = new Graph({ multigraph: false });
  drawn.setGraph({ rankdir: "TB", nodesep: 28, ranksep: 44, marginx: MARGIN, marginy: MARGIN });
  drawn.setDefaultEdgeLabel(() => ({}));
  const box = (name, kind, node) => drawn.setNode(name, kind === "end" ? { width: END, height: 32, kind } : { width: widthOf(node), height: HEIGHT, kind, node });
  if (graph.given.length) box("inputs:", "end");
  for (const node of graph.nodes) box(`n:${node.predictor}`, "node", node);
  box("returned:", "end");
  const edges = new Map();
  for (const edge of [...graph.given, ...graph.edges]) {
    const from = edge.source === null ? "inputs:" : `n:${edge.source}`;
    const to = edge.target === null ? "returned:" : `n:${edge.target}`;
    const key = JSON.stringify([from, to]);
    const one = edges.get(key) ?? { from, to, kinds: new Set(), fields: new Set(), share: 0 };
    one.kinds.add(edge.kind);
    one.fields.add(edge.source_field ?? "?");
    one.share = Math.max(one.share, edge.share);
    edges.set(key, one);
  }
  for (const edge of edges.values()) if (edge.from !== edge.to) drawn.setEdge(edge.from, edge.to, edge);
  layout(drawn);
  // The layout's width is that of the boxes: lines may pass beside them.
  const across = drawn.edges().flatMap((ends) => drawn.edge(ends).points.map(({ x }) => x));
  const left = Math.min(0, ...across.map((x) => x - MARGIN));
  const width = Math.max(drawn.graph().width, ...across.map((x) => x + MARGIN)) - left;
  return { drawn, left, width, loops: [...edges.values()].filter((edge) => edge.from === edge.to).map((edge) => edge.from) };
}

const kindOf = ({ kinds }) => ["data", "control", "inferred"].find((kind) => kinds.has(kind)) ?? "data";
const path = ([first, ...rest]) => `M${first.x},${first.y}` + rest.map(({ x, y }) => `L${x},${y}`).join("");

// A curve through the points that the layout gives, straight at both ends.
function curve(points) {
  if (points.length < 3) return path(points);
  let found = `M${points[0].x},${points[0].y}`;
  for (let at = 1; at < points.length - 1; at += 1) {
    const [here, next] = [points[at], points[at + 1]];
    const end = at === points.length - 2 ? next : { x: (here.x + next.x) / 2, y: (here.y + next.y) / 2 };
    found += `Q${here.x},${here.y} ${end.x},${end.y}`;
  }
  return found;
}

export function ProgramGraph({ run }) {
  const { graph, steps } = run;
  const { shares, failures } = useMemo(() => blameOf(steps), [steps]);
  const names = graph ? graph.nodes.map((node) => node.predictor) : Object.keys(run.instructions.before);
  const most = names.reduce((best, name) => ((shares[name] ?? 0) > (shares[best] ?? 0) ? name : best), names[0]);
  const [chosen, choose] = useState(most);
  const layers = useMemo(() => graph && laidOut(graph), [graph]);
  return html`<div class="graph ${layers?.width > WIDE ? "wide" : ""}">
    <div class="picture">
      ${graph
        ? html`<${Drawing} graph=${graph} layers=${layers} shares=${shares} chosen=${chosen} choose=${choose} />`
        : html`<${Missing}>the graph; it is known once the program has been run on examples.<//><${Names} names=${names} shares=${shares} chosen=${chosen} choose=${choose} />`}
      <p class="legend note">
        ${failures ? html`0 % <span class="scale" aria-hidden="true"></span>100 % of the blame for ${plural(failures, "failure")} looked at` : "No finished step sent a failure back through the graph: there is no blame."}
      </p>
      ${graph && html`<p class="legend note">${plural(graph.examples, "execution")} of the program as it was given${graph.raised ? `, ${graph.raised} of which raised` : ""}. Lines: solid, data; dashed, decides whether a call takes place; dotted, inferred from values.</p>`}
    </div>
    <${Panel} name=${chosen} node=${graph?.nodes.find((node) => node.predictor === chosen)} share=${shares[chosen]} run=${run} />
  </div>`;
}

const Names = ({ names, shares, chosen, choose }) =>
  html`<div class="names">${names.map((name) => html`<button type="button" aria-pressed=${name === chosen} onClick=${() => choose(name)}><${Text}>${name}<//> <span class="faint">${name in shares ? percent(shares[name]) : ""}</span></button>`)}</div>`;

function callsOf(node, executions) {
  if (!node.examples) return "never reached";
  if (node.examples < executions) return `called in ${percent(node.examples / executions)}`;
  if (node.most === 1) return "";
  return `${node.fewest === node.most ? node.most : `${node.fewest}–${node.most}`} calls`;
}

function Drawing({ graph, layers: { drawn, left, width, loops }, shares, chosen, choose }) {
  const { height } = drawn.graph();
  const place = useRef(null);
  useEffect(() => {
    // What is chosen at first is in sight, also where the drawing is wider than its place.
    const { parentElement: picture } = place.current;
    picture.scrollLeft = ((drawn.node(`n:${chosen}`).x - left) / width) * picture.scrollWidth - picture.clientWidth / 2;
  }, []);
  const press = (name) => (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose(name);
  };
  return html`<svg ref=${place} viewBox="${left} 0 ${width} ${height}" width=${width} height=${height} style=${{ minWidth: `${Math.round(LEAST * width)}px` }} role="group" aria-label="The program's graph">
    <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0,0.8 7,4 0,7.2" /></marker></defs>
    ${drawn.edges().map((ends) => {
      const edge = drawn.edge(ends);
      return html`<path class="edge ${kindOf(edge)}" d=${curve(edge.points)} marker-end="url(#tip)"><title>${[...edge.fields].join(", ")}: in ${percent(edge.share)} of the executions</title></path>`;
    })}
    ${drawn.nodes().map((id) => {
      const { x, y, width: wide, height: high, kind, node } = drawn.node(id);
      if (kind === "end") return html`<g class="end" transform="translate(${x},${y})"><rect x=${-wide / 2} y=${-high / 2} width=${wide} height=${high} rx="16" /><text dy="4">${ENDS[id.slice(0, -1)]}</text></g>`;
      const name = node.predictor;
      const share = shares[name];
      const blamed = Object.keys(shares).length > 0;
      const details = [share === undefined ? blamed && "no blame" : `blame ${percent(share)}`, callsOf(node, graph.examples), loops.includes(id) && "loop"].filter(Boolean).join(" · ");
      return html`<g class="node ${node.examples ? "" : "absent"}" transform="translate(${x},${y})" tabindex="0" role="button" aria-pressed=${name === chosen} data-node=${name} onClick=${() => choose(name)} onKeyDown=${press(name)}>
        <title>${name}</title>
        <rect class="base" x=${-wide / 2} y=${-high / 2} width=${wide} height=${high} rx="8" />
        <rect class="heat" x=${-wide / 2} y=${-high / 2} width=${wide} height=${high} rx="8" style=${{ opacity: 0.75 * (share ?? 0) }} />
        <text class="name" dy=${details ? -4 : 5}>${clip(name)}</text>
        <text class="detail" dy="14">${details}</text>
      </g>`;
    })}
  </svg>`;
}

function Panel({ name, node, share, run }) {
  const told = learnedFrom(run, name);
  return html`<aside class="panel" aria-live="polite">
    <header><h3><${Text}>${name}<//></h3>
      <p class="note">${share === undefined ? "No blame recorded" : `${percent(share)} of the blame`}${node?.examples ? html` · called in ${node.examples} of ${run.graph.examples} executions` : ""}${node?.failures ? html` · ${plural(node.failures, "call")} failed` : ""}</p>
    </header>
    <${Told} told=${told} run=${run} key=${name} />
  </aside>`;
}
