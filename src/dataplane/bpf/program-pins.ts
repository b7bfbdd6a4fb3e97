// SPDX-License-Identifier: Apache-2.0
// The programs that commands run without a daemon: where they are pinned, and how they are run.
import { existsSync } from 'node:fs';
import { BpfProgram } from '../../native/bpf-program.ts';

export const pinnedPrograms = ['explain', 'flush', 'zero_statistics', 'set_timeouts'] as const;

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

/**
 * Runs a pinned program that looks at no packet, with words for its skb->cb. Throws SystemError.
 * @returns false where it is not pinned, as before a first start of the daemon has ended
 */
export function runPinned(pinDirectory: string, name: PinnedProgram, words: readonly number[] = []): boolean {
  const pin = programPin(pinDirectory, name);
  if (!existsSync(pin)) return false;
  using program = BpfProgram.openPinned(pin);
  program.testRun({ data: noPacket, context: contextWith(words) });
  return true;
}
