// SPDX-License-Identifier: Apache-2.0
// Words of 32 bits: as keys and values, and maps of one by another, as those of devices.
import type { BpfMap } from '../../native/bpf-map.ts';

/** Makes the map hold exactly these entries; what stays is there all the time. Throws SystemError. */
export function setWords(map: BpfMap, wanted: ReadonlyMap<number, number>): void {
  for (const key of [...map.keys()]) if (!wanted.has(key.readUInt32LE())) map.delete(key);
  for (const [key, value] of wanted) map.update(word(key), word(value));
}

/** In this machine's order, as programs read it. */
export function word(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}
