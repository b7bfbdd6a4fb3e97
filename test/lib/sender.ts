// SPDX-License-Identifier: Apache-2.0
// A thread that sends one frame to a pinned program, again and again.
import { Worker, workerData } from 'node:worker_threads';
import { BpfProgram } from '../../src/native/bpf-program.ts';

export interface Sending {
  readonly pin: string;
  readonly frame: Uint8Array;
  readonly times: number;
}

/** Resolves when all are sent. */
export function send(sending: Sending): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const worker = new Worker(new URL(import.meta.url), { workerData: sending });
  worker.once('error', reject);
  worker.once('exit', () => resolve());
  return promise;
}

const sending = workerData as Sending | null;
if (sending) {
  using program = BpfProgram.openPinned(sending.pin);
  for (let n = 0; n < sending.times; n++) program.testRun({ data: sending.frame });
}
