// A gain with its interval, as a line with a dot: what is left of the middle line would be a loss.
import { html } from "./html.js";
import { gain, known } from "./format.js";

export function Interval({ value, low, high, scale, wide = false }) {
  if (!known(value)) return null;
  const reach = scale || Math.max(Math.abs(low ?? value), Math.abs(high ?? value), Math.abs(value), 1e-9);
  const at = (number) => 50 + 48 * Math.max(-1, Math.min(1, number / reach));
  const [from, to] = [at(known(low) ? low : value), at(known(high) ? high : value)];
  const tone = known(low) && low > 0 ? "good" : known(high) && high < 0 ? "bad" : "";
  const said = known(low) ? `${gain(value)}, 90 % sure between ${gain(low)} and ${gain(high)}` : gain(value);
  return html`<svg class="interval ${wide ? "wide" : ""} ${tone}" viewBox="0 0 100 12" preserveAspectRatio="none" role="img" aria-label=${said}>
    <title>${said}</title>
    <line class="zero" x1="50" x2="50" y1="0" y2="12" />
    <line class="reach" x1=${from} x2=${Math.max(to, from + 0.5)} y1="6" y2="6" />
    <line class="dot" x1=${at(value)} x2=${at(value)} y1="6" y2="6" />
  </svg>`;
}
