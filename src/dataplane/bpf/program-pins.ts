// SPDX-License-Identifier: Apache-2.0
// The programs that commands run without a daemon: where they are pinned, and how they are run.
import { existsSync } from 'node:fs';
import { BpfProgram } from '../../native/bpf-program.ts';

export const pinnedPrograms = ['explain', 'flush'] as const;

export type PinnedProgram = (typeof pinnedPrograms)[number];

/** The smallest packet that BPF_PROG_TEST_RUN takes, for programs that look at none. */
export const noPacket = new Uint8Array(14);

export function programPin(pinDirectory: string, name: PinnedProgram): string {
  return `${pinDirectory}/programs/${name}`;
}

/** Runs a pinned program that looks at no packet; does nothing where it is not pinned. Throws SystemError. */
export function runPinned(pinDirectory: string, name: PinnedProgram): void {
  const pin = programPin(pinDirectory, name);
  if (!existsSync(pin)) return;
  using program = BpfProgram.openPinned(pin);
  program.testRun({ data: noPacket });
}
