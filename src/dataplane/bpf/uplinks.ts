// SPDX-License-Identifier: Apache-2.0
// Which devices lead off this node, and with which of the node's addresses packets leave there (bpf/lib/uplink.h).
import { type Address, addressBytes, addressFromBytes, type Family } from '../../model/address.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import type { AddressRecord, LinkRecord } from '../../native/network-records.ts';
import type { AddressFilter } from './address-filter.ts';
import { type DeviceFilter, parsePatterns } from './devices.ts';
import { layouts } from './layouts.ts';
import { encode } from './struct.ts';
import { word } from './words.ts';

/** What is known of the node's network. */
export interface Network {
  readonly links: readonly LinkRecord[];
  readonly addresses: readonly AddressRecord[];
}

export type UplinkFilter = (link: LinkRecord, network: Network) => boolean;

/** IFLA_INFO_KIND of what leads off a node whatever its addresses; physical devices have none. */
const outwardKinds: ReadonlySet<string> = new Set([
  ...['', 'bond', 'vlan', 'vxlan', 'geneve'],
  ...['tun', 'ipip', 'sit', 'ip6tnl', 'gre', 'ip6gre', 'wireguard'],
]);

/**
 * Physical devices, bonds, VLANs and tunnels; a bridge that has one of them as a port; and a veth that is a node's own leg,
 * as in nodes that are containers: it has an address of a subnet, where the host ends of pods have none or a single one.
 */
export const isUplink: UplinkFilter = (link, { links, addresses }) => {
  if (link.isLoopback) return false;
  if (link.kind === 'bridge') return links.some((port) => port.masterIndex === link.index && isOutward(port));
  if (link.kind !== 'veth') return isOutward(link);
  return addresses.some((address) => address.ifindex === link.index && isOfSubnet(address));
};

function isOutward({ kind, isLoopback }: LinkRecord): boolean {
  return outwardKinds.has(kind) && !isLoopback;
}

function isOfSubnet({ scope, prefixLength, address }: AddressRecord): boolean {
  return scope === globalScope && prefixLength < address.length * 8;
}

/** Reads the option --uplinks: as --devices, in place of {@link isUplink}. Throws InputError. */
export function parseUplinks(text: string): UplinkFilter {
  const isChosen = parsePatterns(text);
  return (link, network) => !link.isLoopback && isChosen(link.name, isUplink(link, network));
}

/** include/uapi/linux/rtnetlink.h: RT_SCOPE_UNIVERSE. */
const globalScope = 0;

/** Of each family, the address that packets have as their source. */
type Sources = readonly [source4: Address | undefined, source6: Address | undefined];

/**
 * The uplinks by index, at most so many. What leaves by a device without an address of its own has that of the first
 * one that has any; so has what leaves by a device where no programs are (GRE, or left out by --devices), as replies
 * would come in there.
 */
export function sourcesOf(
  { links, addresses }: Network,
  isUplink: UplinkFilter,
  isServed: DeviceFilter,
  limit: number,
): ReadonlyMap<number, Sources> {
  const chosen = links.filter((link) => isUplink(link, { links, addresses })).slice(0, limit);
  const firstOf = (family: Family, among: readonly LinkRecord[]) =>
    among.flatMap(({ index }) => primaryAddress(addresses, index, family) ?? [])[0];
  const served = chosen.filter(isServed);
  const sourceOf = (family: Family, link: LinkRecord) =>
    firstOf(family, isServed(link) ? [link, ...served] : served);
  return new Map(chosen.map((link) => [link.index, [sourceOf(4, link), sourceOf(6, link)]]));
}

/** Keeps the map `uplinks`, and in the filter the addresses that destinations answer to. */
export class Uplinks {
  readonly #map: BpfMap;
  readonly #filter: AddressFilter;
  readonly #sources = new Set<Address>();

  constructor(map: BpfMap, filter: AddressFilter) {
    this.#map = map;
    this.#filter = filter;
  }

  /**
   * @param isServed by programs: clients' devices
   * Throws SystemError.
   */
  set(network: Network, isUplink: UplinkFilter, isServed: DeviceFilter): void {
    const entries = sourcesOf(network, isUplink, isServed, this.#map.maxEntries);
    const sources = new Set([...entries.values()].flat().filter((source) => source !== undefined));
    for (const source of sources) this.#addSource(source);
    for (const key of [...this.#map.keys()]) if (!entries.has(key.readUInt32LE())) this.#map.delete(key);
    for (const [index, [source4, source6]] of entries) {
      const bytes = (address: Address | undefined) => (address ? addressBytes(address) : new Uint8Array(16));
      this.#map.update(
        word(index),
        encode(layouts.uplink, { source4: bytes(source4), source6: bytes(source6) }),
      );
    }
  }

  /** One that is not taken any more stays: connections that have it may go on. */
  #addSource(source: Address): void {
    if (this.#sources.has(source)) return;
    this.#sources.add(source);
    this.#filter.add(source);
  }
}

/**
 * The first that may be used, and of these one of a subnet rather than a single one: that may be somebody's virtual address,
 * here for a while.
 */
function primaryAddress(
  addresses: readonly AddressRecord[],
  ifindex: number,
  family: Family,
): Address | undefined {
  const usable = addresses.filter(
    (each) =>
      each.ifindex === ifindex &&
      each.family === family &&
      each.scope === globalScope &&
      !each.isTentative &&
      !each.isDeprecated,
  );
  const found = usable.find(isOfSubnet) ?? usable[0];
  return found && addressFromBytes(found.family, found.address);
}
