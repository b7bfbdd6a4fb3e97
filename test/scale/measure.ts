// SPDX-License-Identifier: Apache-2.0
// One proxy in one cluster, from its start to its end.
import { setTimeout } from 'node:timers/promises';
import type { Population } from './objects.ts';
import type { Subject } from './subject.ts';

export interface Measurement extends Population {
  readonly subject: string;
  /** From the start of its process until everything is programmed. */
  readonly startSeconds: number;
  /** Of these, those in which it had a CPU. */
  readonly startCpuSeconds: number;
  /** The larger of two: some time after that, and after the changes. */
  readonly residentMiB: number;
  /** In milliseconds, a number a change, in ascending order: from the API server's answer until it is programmed, 0 for before. */
  readonly afterAnswerMs: readonly number[];
  /** The same from the request on: with the API server's own time. */
  readonly afterRequestMs: readonly number[];
  /** CPU time of the proxy for each change, all it does for it. */
  readonly cpuMs: number;
}

const settleMs = 3000;
/** Changes are spread over the Services. */
const stride = 37;

/** Each second change takes back the one before it. */
export async function measure(
  subject: Subject,
  population: Population,
  changes: number,
): Promise<Measurement> {
  const startSeconds = await subject.start();
  const startCpuSeconds = subject.cpuMs() / 1000;
  await setTimeout(settleMs);
  const residentAtStart = subject.residentMiB();
  const afterAnswerMs: number[] = [];
  const afterRequestMs: number[] = [];
  const cpuBefore = subject.cpuMs();
  for (let i = 0; i < changes; i++) {
    const service = (stride * (i >> 1)) % population.services;
    const { sentMs, answeredMs, programmedMs } = await subject.change(service, i % 2 === 1);
    afterAnswerMs.push(Math.max(0, programmedMs - answeredMs));
    afterRequestMs.push(programmedMs - sentMs);
  }
  const cpuMs = (subject.cpuMs() - cpuBefore) / changes;
  const residentMiB = Math.max(residentAtStart, subject.residentMiB());
  await subject.stop();
  const ascending = (values: readonly number[]) => values.toSorted((a, b) => a - b);
  return {
    ...population,
    subject: subject.name,
    startSeconds,
    startCpuSeconds,
    residentMiB,
    afterAnswerMs: ascending(afterAnswerMs),
    afterRequestMs: ascending(afterRequestMs),
    cpuMs,
  };
}

/** The smallest value that so many of all are not above; the values in ascending order. */
export function percentile(values: readonly number[], share: number): number {
  return values[Math.max(0, Math.ceil(share * values.length) - 1)] ?? Number.NaN;
}
