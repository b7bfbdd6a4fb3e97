// SPDX-License-Identifier: Apache-2.0
// The programs that commands run without a daemon: where they are pinned, and how they are run.
import { existsSync } from 'node:fs';
import { BpfProgram } from '../../native/bpf-program.ts';

export const pinnedPrograms = ['explain', 'flush'] as const;

export type PinnedProgram = (typeof pinnedPrograms)[number];

/** The smallest packet that BPF_PROG_TEST_RUN takes, for programs that look at none. */
export const noPacket = new Uint8Array(14);

/** struct __sk_buff of include/uapi/linux/bpf.h: its size, and where its field cb is. */
const contextSize = 192;
export const controlBuffer = 48;

/** A struct __sk_buff that is zero but for the first words of its field cb. */
export function contextWith(words: readonly number[] = []): Uint8Array {
  const context = new Uint8Array(contextSize);
  context.set(new Uint8Array(Uint32Array.from(words).buffer), controlBuffer);
  return context;
}

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
