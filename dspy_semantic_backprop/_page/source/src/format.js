// Numbers as a person reads them.
const whole = new Intl.NumberFormat("en-US");
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

export const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
export const count = (value) => (known(value) ? whole.format(value) : "unknown");
export const compact = (value) => (known(value) ? short.format(value) : "unknown");
export const score = (value) => (known(value) ? String(Number(value.toPrecision(3))) : "unknown");
export const gain = (value) => (known(value) ? `${value > 0 ? "+" : value < 0 ? "\u2212" : "\u00b1"}${score(Math.abs(value))}` : "unknown");
export const percent = (value) => (known(value) ? `${Math.round(100 * value)} %` : "unknown");
export const dollars = (value) => (value ? `$${value < 1 ? value.toPrecision(2) : value.toFixed(2)}` : "$0");
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function duration(seconds) {
  if (!known(seconds)) return "unknown";
  if (seconds < 90) return `${Number(seconds.toFixed(seconds < 10 ? 1 : 0))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export const tokens = (spent) => spent.prompt_tokens + spent.completion_tokens;

export function total(spent) {
  const sum = {};
  for (const amount of Object.values(spent)) {
    for (const [name, value] of Object.entries(amount)) sum[name] = (sum[name] ?? 0) + value;
  }
  return { calls: 0, prompt_tokens: 0, completion_tokens: 0, usd: 0, ...sum };
}
