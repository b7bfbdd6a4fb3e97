#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// oracle.ts DIR...: replays the recordings under each folder, of any depth, and ends with "N passed, N failed, N skipped".
// Scheduling decisions and states of connections go against the loaded BPF programs, decisions of kube-proxy against `plan`,
// listings are compared by the tests of src/cli. Exit code 1 when anything failed or nothing was replayed, 2 for a wrong call.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import type { Outcome } from '../test/lib/oracle.ts';
import { replayKubeProxy } from '../test/lib/oracle-kube-proxy.ts';
import { replayScheduling } from '../test/lib/oracle-schedulers.ts';
import { replayStates } from '../test/lib/oracle-states.ts';
import { missingForBpf } from '../test/lib/plane.ts';

const folders = process.argv.slice(2);
if (folders.length === 0) {
  console.error('usage: npm run oracle -- DIR...   (recordings are in test/oracle)');
  process.exit(2);
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const reasons = new Map<string, number>();
const count = (text: string) => reasons.set(text, (reasons.get(text) ?? 0) + 1);
for (const file of folders.flatMap(jsonFiles)) {
  const outcomes = await replayFile(file);
  if (!outcomes) continue;
  for (const { name, result, reason = '' } of outcomes) {
    counts[result]++;
    if (result === 'failed') console.log(`failed: ${name}: ${reason}`);
    else if (result === 'skipped') count(`skipped: ${reason}`);
    else if (reason !== '') count(`not compared: ${reason}`);
  }
}
for (const [reason, times] of [...reasons].sort()) console.log(reason.replace(':', ` ${times}:`));
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed > 0 || counts.passed + counts.skipped === 0 ? 1 : 0;

/** Undefined for a file that holds no replay of ours. */
async function replayFile(file: string): Promise<readonly Outcome[] | undefined> {
  const recording: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (Array.isArray(recording)) return replayKubeProxy(file);
  const isScheduling = has(recording, 'scenarios');
  if (!isScheduling && !has(recording, 'scripts')) return undefined;
  const missing = missingForBpf();
  if (missing !== undefined) return [{ name: file, result: 'skipped', reason: missing }];
  return isScheduling ? replayScheduling(recording as never) : replayStates(recording as never);
}

function has(value: unknown, key: string): boolean {
  return typeof value === 'object' && value !== null && key in value;
}

function jsonFiles(path: string): string[] {
  if (!statSync(path).isDirectory()) return path.endsWith('.json') ? [path] : [];
  return readdirSync(path)
    .sort()
    .flatMap((name) => jsonFiles(`${path}/${name}`));
}
