// SPDX-License-Identifier: Apache-2.0
// Which devices are ports of a bridge: there, a frame for another MAC address may be for the bridge (bpf/tc.bpf.c).
import type { BpfMap } from '../../native/bpf-map.ts';
import type { LinkRecord } from '../../native/network-records.ts';

/** Makes the map `bridge_ports` hold exactly the ports among these links, the first of them where it has not room for all. */
export function setBridgePorts(map: BpfMap, links: readonly LinkRecord[]): void {
  const ports = links.filter((link) => link.slaveKind === 'bridge').slice(0, map.maxEntries);
  const wanted = new Set(ports.map((link) => link.index));
  for (const key of [...map.keys()]) if (!wanted.delete(key.readUInt32LE())) map.delete(key);
  for (const index of wanted) map.update(word(index), word(1));
}

function word(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}
