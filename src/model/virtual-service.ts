// SPDX-License-Identifier: Apache-2.0
// What IPVS balances: virtual services, each with an ordered list of destinations.
import { type Address, addressFamily, type Family, formatAddressPort } from './address.ts';
import { type Cidr, sameCidr } from './cidr.ts';
import type { SchedulerFlag, SchedulerName } from './scheduler.ts';

export type Protocol = 'tcp' | 'udp' | 'sctp';

/** As IANA assigned them. */
export const protocolNumbers: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17, sctp: 132 };

export function isProtocol(name: string): name is Protocol {
  return Object.hasOwn(protocolNumbers, name);
}

/** How packets reach a destination; the names of ipvsadm's options -m, -i and -g, and the kernel's Local. */
export type ForwardingMethod = 'masq' | 'tunnel' | 'droute' | 'local';

/** What a client gets from a service that has no destination to give: an ICMP port unreachable, or silence. */
export type NoDestination = 'reject' | 'drop';

/** The identity of a virtual service that clients know by its address. */
export interface AddressServiceKey {
  readonly protocol: Protocol;
  readonly address: Address;
  /** Host order, 0..65535; 0 is every port that has no service of its own, of a persistent service only. */
  readonly port: number;
  readonly mark?: undefined;
}

/** The identity of a virtual service of all packets of a family that carry a firewall mark (ipvsadm -f). */
export interface MarkServiceKey {
  /** 1..4294967295 */
  readonly mark: number;
  readonly family: Family;
  readonly protocol?: undefined;
  readonly address?: undefined;
  readonly port?: undefined;
}

/** A virtual service's identity. */
export type VirtualServiceKey = AddressServiceKey | MarkServiceKey;

/** A destination's identity within its virtual service. */
export interface DestinationKey {
  readonly address: Address;
  /** Host order, 0..65535; 0 leaves packets the port they came to, of services of a mark or of every port. */
  readonly port: number;
}

/** Where a client is: outside if its packets come in by a device that leads off this node. */
export type ClientSide = 'inside' | 'outside';

export interface Destination extends DestinationKey {
  /** 0..2147483647; a destination with weight 0 keeps its connections and gets no new ones. */
  readonly weight: number;
  readonly forwarding: ForwardingMethod;
  /** With so many connections it gets no new ones by the scheduler (ipvsadm -x); 0 or undefined: no limit. */
  readonly upperThreshold?: number | undefined;
  /** With fewer than so many it gets some again (ipvsadm -y); 0 or undefined: three quarters of the upper one. */
  readonly lowerThreshold?: number | undefined;
  /** The clients whose new connections it takes; undefined: all. Has no meaning where the service has one view for all. */
  readonly clients?: ClientSide | undefined;
}

/** A client's later connections go where its first one went (ipvsadm -p and -M). */
export interface Persistence {
  /** Time from a client's last new connection until it is forgotten, 1..2147483. */
  readonly timeoutSeconds: number;
  /** Clients whose addresses begin with the same so many bits are one: 0..32, or 1..128 of IPv6. */
  readonly prefixLength: number;
}

/** What a virtual service does with its clients. */
export interface ServiceTerms {
  readonly scheduler: SchedulerName;
  readonly schedulerFlags: readonly SchedulerFlag[];
  readonly noDestination: NoDestination;
  readonly persistence?: Persistence | undefined;
  /** Each datagram of UDP is scheduled by itself (ipvsadm -o). */
  readonly isOnePacket?: boolean | undefined;
  /** Clients whose own addresses are in none of them are dropped; undefined: anybody may use it. */
  readonly sourceRanges?: readonly Cidr[] | undefined;
  /**
   * Clients outside have destinations of their own, those that are not for clients inside, and get this where there is none.
   * Undefined: one view for all. Beyond IPVS, for traffic policies of Kubernetes.
   */
  readonly outside?: { readonly noDestination: NoDestination } | undefined;
}

/** A virtual service without its destinations: what `ipvsadm -A` and `-E` define. */
export type VirtualServiceDefinition = VirtualServiceKey & ServiceTerms;

export interface DestinationList {
  /** In the order of their adding; the scheduler walks them newest first (reversed), as the kernel does. */
  readonly destinations: readonly Destination[];
}

export type VirtualService = VirtualServiceDefinition & DestinationList;

/** A virtual service with an address: every one that a cluster's Services ask for. */
export type AddressService = AddressServiceKey & ServiceTerms & DestinationList;

/** A text that is equal exactly for equal keys: "tcp 10.96.0.1:443", "fwm 7", "fwm 7 ipv6". */
export function virtualServiceId(key: VirtualServiceKey): string {
  if (key.mark !== undefined) return key.family === 6 ? `fwm ${key.mark} ipv6` : `fwm ${key.mark}`;
  return `${key.protocol} ${formatAddressPort(key.address, key.port)}`;
}

/** The key of a virtual service alone. */
export function virtualServiceKey(service: VirtualServiceKey): VirtualServiceKey {
  return service.mark === undefined
    ? { protocol: service.protocol, address: service.address, port: service.port }
    : { mark: service.mark, family: service.family };
}

export function serviceFamily(key: VirtualServiceKey): Family {
  return key.mark === undefined ? addressFamily(key.address) : key.family;
}

/** A text that is equal exactly for equal keys: "10.244.1.5:8080". */
export function destinationId(key: DestinationKey): string {
  return formatAddressPort(key.address, key.port);
}

export function sameDefinition(a: VirtualServiceDefinition, b: VirtualServiceDefinition): boolean {
  return (
    a.scheduler === b.scheduler &&
    a.noDestination === b.noDestination &&
    a.persistence?.timeoutSeconds === b.persistence?.timeoutSeconds &&
    a.persistence?.prefixLength === b.persistence?.prefixLength &&
    (a.isOnePacket ?? false) === (b.isOnePacket ?? false) &&
    a.outside?.noDestination === b.outside?.noDestination &&
    sameRanges(a.sourceRanges, b.sourceRanges) &&
    a.schedulerFlags.length === b.schedulerFlags.length &&
    a.schedulerFlags.every((flag) => b.schedulerFlags.includes(flag))
  );
}

export function sameDestination(a: Destination, b: Destination): boolean {
  return (
    destinationId(a) === destinationId(b) &&
    a.weight === b.weight &&
    a.forwarding === b.forwarding &&
    (a.upperThreshold ?? 0) === (b.upperThreshold ?? 0) &&
    (a.lowerThreshold ?? 0) === (b.lowerThreshold ?? 0) &&
    a.clients === b.clients
  );
}

/** The destinations of one view: those that take new connections of clients there. */
export function destinationsFor(service: VirtualService, side: ClientSide): readonly Destination[] {
  if (!service.outside) return service.destinations;
  return service.destinations.filter(({ clients }) => clients === undefined || clients === side);
}

/** Whatever their order; each is in a list once. */
function sameRanges(a: readonly Cidr[] | undefined, b: readonly Cidr[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((one) => b.some((two) => sameCidr(one, two)));
}
