// SPDX-License-Identifier: Apache-2.0
// Which devices are ports of a bridge: there, a frame for another MAC address may be for the bridge (bpf/lib/l2.h).
import type { BpfMap } from '../../native/bpf-map.ts';
import type { LinkRecord } from '../../native/network-records.ts';
import { setWords } from './words.ts';

/** Makes the map `bridge_ports` hold exactly the ports among these links, each with its bridge; the first of them where it has not room for all. */
export function setBridgePorts(map: BpfMap, links: readonly LinkRecord[]): void {
  const ports = links.filter((link) => link.slaveKind === 'bridge').slice(0, map.maxEntries);
  setWords(map, new Map(ports.map((link) => [link.index, link.masterIndex])));
}
