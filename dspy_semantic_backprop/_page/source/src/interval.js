// A gain with its interval, as a line with a dot: what is left of the upright line, at zero, would be a loss.
import { html } from "./html.js";
import { gain, known } from "./format.js";

export function Interval({ value, low, high, scale, wide = false }) {
  if (!known(value)) return null;
  const ends = [low, high, value, 0].filter(known);
  const [first, last] = scale ? [-scale, scale] : [Math.min(...ends), Math.max(...ends)];
  const at = (number) => 2 + (96 * (Math.max(first, Math.min(last, number)) - first)) / (last - first || 1);
  const [from, to] = [at(known(low) ? low : value), at(known(high) ? high : value)];
  const tone = known(low) && low > 0 ? "good" : known(high) && high < 0 ? "bad" : "";
  const said = known(low) ? `${gain(value)}, 90 % sure between ${gain(low)} and ${gain(high)}` : gain(value);
  return html`<svg class="interval ${wide ? "wide" : ""} ${tone}" viewBox="0 0 100 12" preserveAspectRatio="none" role="img" aria-label=${said}>
    <title>${said}</title>
    <line class="zero" x1=${at(0)} x2=${at(0)} y1="0" y2="12" />
    <line class="reach" x1=${from} x2=${Math.max(to, from + 0.5)} y1="6" y2="6" />
    <line class="dot" x1=${at(value)} x2=${at(value)} y1="6" y2="6" />
  </svg>`;
}
