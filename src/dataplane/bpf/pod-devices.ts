// SPDX-License-Identifier: Apache-2.0
// Which devices have only pods of this node behind them, for packets that go straight there (bpf/lib/local.h).
import type { BpfMap } from '../../native/bpf-map.ts';
import type { LinkRecord } from '../../native/network-records.ts';
import { enums } from './layouts.ts';
import type { Network, UplinkFilter } from './uplinks.ts';
import { setWords } from './words.ts';

/**
 * What a device is to pods, as enum pod_device: the host's end of a veth or netkit pair whose other end is in another
 * namespace, or a bridge; undefined for any other, and for what leads off the node. A pair that is a port of something else is not
 * sent to, that is.
 */
export function podDeviceOf(link: LinkRecord, network: Network, isUplink: UplinkFilter): number | undefined {
  if (isUplink(link, network)) return undefined;
  if (link.kind === 'bridge') return enums.pod_device.POD_DEVICE_BRIDGE;
  const isPair = link.kind === 'veth' || link.kind === 'netkit';
  if (!isPair || link.linkNamespaceId === undefined || link.masterIndex !== 0) return undefined;
  return enums.pod_device.POD_DEVICE_PAIR;
}

/** Makes the map `pod_devices` hold exactly those of this network, the first of them where it has not room for all. */
export function setPodDevices(map: BpfMap, network: Network, isUplink: UplinkFilter): void {
  const kinds = network.links.flatMap((link) => {
    const kind = podDeviceOf(link, network, isUplink);
    return kind === undefined ? [] : [[link.index, kind] as const];
  });
  setWords(map, new Map(kinds.slice(0, map.maxEntries)));
}
