// SPDX-License-Identifier: Apache-2.0
// The measurements side by side, and the limits that must hold.
import { type Ratio, table } from '../bench/report.ts';
import { type Measurement, percentile } from './measure.ts';

export function measurementTable(measurements: readonly Measurement[]): string {
  return table(
    [
      'proxy',
      'Services',
      'endpoints',
      'start s',
      'its CPU s',
      'MiB',
      'p50 ms',
      'p99 ms',
      'p99 ms from request',
      'CPU ms',
      'changes',
    ],
    measurements.map((each) => [
      each.subject,
      count(each.services),
      count(each.services * each.endpointsEach),
      each.startSeconds.toFixed(1),
      each.startCpuSeconds.toFixed(1),
      each.residentMiB.toFixed(0),
      percentile(each.afterAnswerMs, 0.5).toFixed(1),
      percentile(each.afterAnswerMs, 0.99).toFixed(1),
      percentile(each.afterRequestMs, 0.99).toFixed(1),
      each.cpuMs.toFixed(2),
      count(each.afterAnswerMs.length),
    ]),
  );
}

export const legend = `start: from the start of the process until everything is programmed; its CPU: the seconds of these in which it had a CPU
MiB: resident, the larger of two: 3 s after that, and after the changes
p50, p99: from the API server's answer to a change of one endpoint until it is programmed, 0 for before; the last also from the
request on. BPVS: its map in the kernel has the change, looked at each millisecond. kube-proxy: its own metric counts it,
looked at each 50 ms
CPU: of the proxy for each change, all threads and children`;

/** What is promised of a cluster with 10,000 Services of ten endpoints each. */
export function limitsOf(
  { startSeconds, residentMiB, afterRequestMs }: Measurement,
  planMs: number,
): readonly Ratio[] {
  return [
    { name: 'from start to programmed, seconds', value: startSeconds, limit: 30 },
    { name: 'resident memory, MiB', value: residentMiB, limit: 350 },
    {
      name: 'a change programmed, from its request, p99, ms',
      value: percentile(afterRequestMs, 0.99),
      limit: 100,
    },
    { name: 'CPU for a change in plan and diff, ms', value: planMs, limit: 2 },
  ];
}

function count(number: number): string {
  return number.toLocaleString('en');
}
