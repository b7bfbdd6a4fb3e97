// SPDX-License-Identifier: Apache-2.0
// Durations as Go's time package reads and prints them ("1h30m", "24h0m0s"): KubeProxyConfiguration and flags have them.

/** Nanoseconds; whole seconds are exact over all of Go's range. */
export type DurationNs = number;

const unitNs: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3, // U+00B5
  μs: 1e3, // U+03BC
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Go keeps a duration in 64 signed bits. */
const mostNs = 2 ** 63;

export function seconds(count: number): DurationNs {
  return count * 1e9;
}

export function milliseconds(duration: DurationNs): number {
  return duration / 1e6;
}

/** undefined for what time.ParseDuration refuses: no unit, an unknown one, more than 292 years. */
export function parseDuration(text: string): DurationNs | undefined {
  if (/^[-+]?0$/.test(text)) return 0;
  if (!/^[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, number = '', unit = ''] of text.matchAll(/([\d.]+)([a-zµμ]+)/g)) {
    sum += Number(number) * (unitNs[unit] ?? 0);
  }
  if (sum >= mostNs) return undefined;
  return text.startsWith('-') ? -Math.trunc(sum) : Math.trunc(sum);
}

/** "0s", "1.5s", "250ms", "15m0s": as Duration.String. */
export function formatDuration(duration: DurationNs): string {
  if (duration === 0) return '0s';
  const sign = duration < 0 ? '-' : '';
  const ns = Math.abs(duration);
  if (ns < 1e3) return `${sign}${ns}ns`;
  if (ns < 1e6) return `${sign}${ns / 1e3}µs`;
  if (ns < 1e9) return `${sign}${ns / 1e6}ms`;
  const whole = Math.floor(ns / 1e9);
  const fraction = String(ns % 1e9)
    .padStart(9, '0')
    .replace(/0+$/, '');
  const rest = `${whole % 60}${fraction === '' ? '' : `.${fraction}`}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes === 0) return sign + rest;
  if (minutes < 60) return `${sign}${minutes}m${rest}`;
  return `${sign}${Math.floor(minutes / 60)}h${minutes % 60}m${rest}`;
}
