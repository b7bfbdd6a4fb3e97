// SPDX-License-Identifier: Apache-2.0
// Which devices clients' packets enter through.
import { InputError } from '../../errors.ts';
import type { LinkRecord } from '../../native/network-records.ts';

/** What the choice of a device depends on. */
export type DeviceTraits = Pick<LinkRecord, 'name' | 'kind' | 'slaveKind' | 'type' | 'isLoopback' | 'isUp'>;

/** ARPHRD_ETHER: packets begin with an Ethernet header. */
const ethernet = 1;

/**
 * ARPHRD_RAWIP, TUNNEL, TUNNEL6 and NONE: packets begin with their IP header. Not GRE and SIT, where what came in begins with the
 * outer one.
 */
const linkless: ReadonlySet<number> = new Set([519, 768, 769, 65_534]);

/** IFLA_INFO_KIND; physical devices have none. */
const clientKinds: ReadonlySet<string> = new Set(['', 'veth', 'netkit', 'bond', 'vlan', 'vxlan', 'geneve']);
const linklessClientKinds: ReadonlySet<string> = new Set(['', 'tun', 'wireguard', 'ipip', 'ip6tnl']);

/** Whether the device's packets have an Ethernet header. */
export function hasLinkHeader({ type }: Pick<DeviceTraits, 'type'>): boolean {
  return type === ethernet;
}

/** Whether there are programs that can read this device's packets. */
export function isReadableDevice(device: DeviceTraits): boolean {
  return (hasLinkHeader(device) || linkless.has(device.type)) && !device.isLoopback;
}

/**
 * Host ends of veth and netkit, physical NICs, bonds, VLANs, and tunnels of frames (vxlan, geneve) or packets (tun, WireGuard,
 * IPIP). Not a bond's own ports, since the bond sees their packets; not a bridge, since its ports are met; not lo and dummies. A
 * NIC below a VLAN is met too, for its untagged packets: what it has translated of the VLAN's is nobody's virtual address any more
 * one level up. Tunnels of packets that are down are none: modules bring their own, which few ever use.
 */
export function isClientDevice(device: DeviceTraits): boolean {
  if (!isReadableDevice(device) || device.slaveKind === 'bond') return false;
  if (hasLinkHeader(device)) return clientKinds.has(device.kind);
  return device.isUp && linklessClientKinds.has(device.kind);
}

/**
 * Physical NICs, those of virtual machines included, and bonds. Not what is a port of something else: there, XDP would take
 * frames from a bridge, and a bond hands its program to its ports itself.
 */
export function isNic(device: XdpTraits): boolean {
  return mayHaveXdp(device) && (device.kind === '' || device.kind === 'bond');
}

export type DeviceFilter = (device: DeviceTraits) => boolean;
export type XdpTraits = DeviceTraits & Pick<LinkRecord, 'masterIndex'>;
export type XdpDeviceFilter = (device: XdpTraits) => boolean;

/**
 * Reads the option --devices: names or globs (`*`, `?`) in place of {@link isClientDevice}; those with `!` in front are
 * taken away, from the others if there are any, else from the devices of the rule. Throws InputError.
 */
export function parseDevices(text: string): DeviceFilter {
  const isChosen = parsePatterns(text);
  return (device) => isReadableDevice(device) && isChosen(device.name, isClientDevice(device));
}

/**
 * Reads the option --xdp-devices: as --devices, in place of {@link isNic}. A host end of a veth or netkit pair, as every pod
 * has one, has to be named in full: XDP makes a pod's streams many times slower. Throws InputError.
 */
export function parseXdpDevices(text: string): XdpDeviceFilter {
  const isChosen = parsePatterns(text);
  const named = new Set(namedDevices(text));
  const isPair = ({ kind }: XdpTraits) => kind === 'veth' || kind === 'netkit';
  return (device) =>
    mayHaveXdp(device) && isChosen(device.name, isNic(device)) && (!isPair(device) || named.has(device.name));
}

function mayHaveXdp(device: XdpTraits): boolean {
  return (
    isReadableDevice(device) &&
    hasLinkHeader(device) &&
    (device.masterIndex === 0 || device.slaveKind === 'vrf')
  );
}

/** @returns whether a name is chosen; `byRule` is what counts where the text only leaves out names */
export function parsePatterns(text: string): (name: string, byRule: boolean) => boolean {
  const patterns = split(text);
  if (patterns.some((pattern) => !/^!?[^\s!/]{1,15}$/.test(pattern))) {
    throw new InputError(`Expected device names, globs or !names joined by commas but received "${text}"`);
  }
  const excluded = patterns.filter((each) => each.startsWith('!')).map((each) => glob(each.slice(1)));
  const included = patterns.filter((each) => !each.startsWith('!')).map(glob);
  return (name, byRule) => {
    if (excluded.some((pattern) => pattern.test(name))) return false;
    return included.length === 0 ? byRule : included.some((pattern) => pattern.test(name));
  };
}

/** The names among what --devices says that are neither globs nor left out. */
export function namedDevices(text: string): readonly string[] {
  return split(text).filter((pattern) => !/[!*?]/.test(pattern));
}

/** One line for each of these names that no device has, or one that cannot be served. */
export function deviceProblems(
  names: readonly string[],
  devices: readonly DeviceTraits[],
): readonly string[] {
  return names.flatMap((name) => {
    const device = devices.find((each) => each.name === name);
    if (!device) return [`there is no device ${name} yet`];
    if (isReadableDevice(device)) return [];
    return [
      `${name} cannot be served: only devices whose packets begin with an Ethernet or an IP header can, and lo need not`,
    ];
  });
}

function split(text: string): readonly string[] {
  return text.split(',').map((pattern) => pattern.trim());
}

function glob(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`);
}
