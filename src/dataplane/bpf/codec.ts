// SPDX-License-Identifier: Apache-2.0
// The meaning of the maps' structs: between the IPVS model and the layouts generated from BTF.
import { addressBytes, addressFamily, addressFromBytes, type Family } from '../../model/address.ts';
import type { Connection, ConnectionState } from '../../model/connection.ts';
import { type SchedulerFlag, type SchedulerName, schedulerNames } from '../../model/scheduler.ts';
import {
  type ClientSide,
  type Destination,
  type ForwardingMethod,
  type NoDestination,
  type Protocol,
  protocolNumbers,
  type VirtualServiceDefinition,
  type VirtualServiceKey,
} from '../../model/virtual-service.ts';
import { enums, layouts } from './layouts.ts';
import { decode, encode, type StructValue } from './struct.ts';

const protocols = new Map(
  Object.entries(protocolNumbers).map(([name, number]) => [number, name as Protocol]),
);

/** By their number in enum scheduler. */
const schedulers = new Map<number, SchedulerName>(
  schedulerNames.map((name) => [schedulerNumber(name), name] as const),
);

function schedulerNumber(name: SchedulerName): number {
  return enums.scheduler[`SCHEDULER_${name.toUpperCase() as Uppercase<SchedulerName>}`];
}

const flagBits: Readonly<Record<SchedulerFlag, number>> = {
  'flag-1': enums.scheduler_flag.SCHEDULER_FLAG_1,
  'flag-2': enums.scheduler_flag.SCHEDULER_FLAG_2,
  'flag-3': enums.scheduler_flag.SCHEDULER_FLAG_3,
};

/** include/uapi/linux/ip_vs.h: IP_VS_CONN_F_MASQ and the following. */
const forwardingNumbers: Readonly<Record<ForwardingMethod, number>> = {
  masq: 0,
  local: 1,
  tunnel: 2,
  droute: 3,
};
const forwardings = Object.keys(forwardingNumbers) as ForwardingMethod[];

const noDestinationNumbers: Readonly<Record<NoDestination, number>> = {
  reject: enums.no_destination.NO_DESTINATION_REJECT,
  drop: enums.no_destination.NO_DESTINATION_DROP,
};

const serviceFlag = enums.service_flag;

/** A destination that only clients of one side have. */
const clientFlags: Readonly<Record<ClientSide, number>> = {
  inside: enums.destination_flag.DESTINATION_INSIDE,
  outside: enums.destination_flag.DESTINATION_OUTSIDE,
};

const stateNames = new Map<number, ConnectionState>(
  Object.entries(enums.connection_state)
    .filter(([name]) => !name.endsWith('_COUNT') && !name.startsWith('STATE_TEMPLATE'))
    .map(([name, number]) => [number, printedState(name)]),
);

/** "SYN_RECV" of STATE_SYN_RECV, "C-SENT" of STATE_SCTP_C_SENT. */
function printedState(name: string): ConnectionState {
  const isSctp = name.startsWith('STATE_SCTP_');
  return (isSctp ? name.slice(11).replaceAll('_', '-') : name.slice(6)) as ConnectionState;
}

export const reasonNames: readonly string[] = Object.entries(enums.reason)
  .filter(([name]) => name !== 'REASON_COUNT')
  .sort(([, a], [, b]) => a - b)
  .map(([name]) => name.replace('REASON_', '').toLowerCase());

export function encodeServiceKey(key: VirtualServiceKey, side: ClientSide = 'inside'): Uint8Array {
  const fields = keyFields(key);
  const view = side === 'outside' ? enums.service_view.VIEW_OUTSIDE : 0;
  return encode(layouts.service_key, { ...fields, family: fields.family | view });
}

/** Which view of its service an entry of the map `services` is. */
export function sideOfKey(key: Uint8Array): ClientSide {
  const isOutside = decode(layouts.service_key, key).family & enums.service_view.VIEW_OUTSIDE;
  return isOutside ? 'outside' : 'inside';
}

/** A firewall mark takes the place of the address, with a protocol that no packet has. */
function keyFields(key: VirtualServiceKey) {
  return key.mark === undefined
    ? {
        address: addressBytes(key.address),
        port: key.port,
        protocol: protocolNumbers[key.protocol],
        family: addressFamily(key.address),
      }
    : { address: markBytes(key.mark), port: 0, protocol: 0, family: key.family };
}

function keyOf(family: Family, protocol: number, address: Uint8Array, port: number): VirtualServiceKey {
  return protocol === 0
    ? { mark: Buffer.from(address).readUInt32BE(), family }
    : { protocol: protocols.get(protocol) ?? 'tcp', address: addressFromBytes(family, address), port };
}

function markBytes(mark: number): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(mark);
  return bytes;
}

/** Where a service's scheduler finds its table in the map `places`. */
export interface ServiceTable {
  /** The service's number, which its destinations carry. */
  readonly id: number;
  /** Index of the state; the table follows it. */
  readonly table: number;
  readonly tableSize: number;
}

export function encodeService(
  service: VirtualServiceDefinition,
  where: ServiceTable,
  side: ClientSide = 'inside',
): Uint8Array {
  const { outside } = service;
  const noDestination = side === 'outside' && outside ? outside.noDestination : service.noDestination;
  return encode(layouts.service, {
    id: where.id,
    table: where.table,
    table_size: where.tableSize,
    scheduler: schedulerNumber(service.scheduler),
    scheduler_flags: service.schedulerFlags.reduce((bits, flag) => bits | flagBits[flag], 0),
    no_destination: noDestinationNumbers[noDestination],
    flags: serviceFlags(service),
    persistence_seconds: service.persistence?.timeoutSeconds ?? 0,
    persistence_length: service.persistence?.prefixLength ?? 0,
    port: service.port ?? 0,
  });
}

function serviceFlags(service: VirtualServiceDefinition): number {
  const { outside, sourceRanges, isOnePacket, mark } = service;
  return (
    (isOnePacket ? serviceFlag.SERVICE_ONE_PACKET : 0) |
    (mark === undefined ? 0 : serviceFlag.SERVICE_OF_MARK) |
    (outside ? serviceFlag.SERVICE_HAS_OUTSIDE : 0) |
    (outside?.noDestination === 'drop' ? serviceFlag.SERVICE_OUTSIDE_DROPS : 0) |
    (sourceRanges ? serviceFlag.SERVICE_HAS_RANGES : 0)
  );
}

function outsideOf(flags: number): Pick<VirtualServiceDefinition, 'outside'> {
  if ((flags & serviceFlag.SERVICE_HAS_OUTSIDE) === 0) return {};
  return { outside: { noDestination: flags & serviceFlag.SERVICE_OUTSIDE_DROPS ? 'drop' : 'reject' } };
}

/** Whether an entry of the map `services` asks for the source ranges: before it does, they hold for nobody. */
export function hasSourceRanges(value: Uint8Array): boolean {
  return (decode(layouts.service, value).flags & serviceFlag.SERVICE_HAS_RANGES) !== 0;
}

/** Of the entry that clients inside have, which tells all but the source ranges. */
export function decodeService(key: Uint8Array, value: Uint8Array): VirtualServiceDefinition & ServiceTable {
  const { address, port, protocol, family } = decode(layouts.service_key, key);
  const service = decode(layouts.service, value);
  return {
    ...keyOf(family as Family, protocol, address, port),
    scheduler: schedulers.get(service.scheduler) ?? 'rr',
    schedulerFlags: (Object.keys(flagBits) as SchedulerFlag[]).filter(
      (flag) => service.scheduler_flags & flagBits[flag],
    ),
    noDestination: service.no_destination === noDestinationNumbers.drop ? 'drop' : 'reject',
    ...outsideOf(service.flags),
    ...(service.persistence_seconds > 0 && {
      persistence: {
        timeoutSeconds: service.persistence_seconds,
        prefixLength: service.persistence_length,
      },
    }),
    ...(service.flags & serviceFlag.SERVICE_ONE_PACKET && { isOnePacket: true }),
    id: service.id,
    table: service.table,
    tableSize: service.table_size,
  };
}

/** An entry of the map `destinations`. */
export interface DestinationEntry {
  readonly service: VirtualServiceKey;
  readonly serviceId: number;
  readonly destination: Destination;
  /** Grows with every adding: the order of the list. */
  readonly added: bigint;
  /** The weight it was added with, or the last one since then that was not 0. */
  readonly lastWeight: number;
  /** Configured, not in the trash. */
  readonly isAvailable: boolean;
}

export function encodeDestination(entry: DestinationEntry): Uint8Array {
  const { destination } = entry;
  const service = keyFields(entry.service);
  return encode(layouts.destination, {
    address: addressBytes(destination.address),
    virtual_address: service.address,
    port: destination.port,
    virtual_port: service.port,
    protocol: service.protocol,
    family: service.family,
    forwarding: forwardingNumbers[destination.forwarding],
    flags:
      (entry.isAvailable ? enums.destination_flag.DESTINATION_AVAILABLE : 0) |
      (destination.clients ? clientFlags[destination.clients] : 0),
    weight: destination.weight,
    service: entry.serviceId,
    added: entry.added,
    upper_threshold: destination.upperThreshold ?? 0,
    lower_threshold: destination.lowerThreshold ?? 0,
    last_weight: entry.lastWeight,
  });
}

function clientsOf(flags: number): Pick<Destination, 'clients'> {
  if (flags & clientFlags.inside) return { clients: 'inside' };
  return flags & clientFlags.outside ? { clients: 'outside' } : {};
}

/** Undefined for an entry that was never used. */
export function decodeDestination(bytes: Uint8Array, at: number): DestinationEntry | undefined {
  if (bytes[at + layouts.destination.fields.family.offset] === 0) return undefined;
  const entry = decode(layouts.destination, bytes, at);
  const family = entry.family as Family;
  return {
    service: keyOf(family, entry.protocol, entry.virtual_address, entry.virtual_port),
    serviceId: entry.service,
    destination: {
      address: addressFromBytes(family, entry.address),
      port: entry.port,
      weight: entry.weight,
      forwarding: forwardings[entry.forwarding] ?? 'masq',
      ...(entry.upper_threshold !== 0 && { upperThreshold: entry.upper_threshold }),
      ...(entry.lower_threshold !== 0 && { lowerThreshold: entry.lower_threshold }),
      ...clientsOf(entry.flags),
    },
    added: entry.added,
    lastWeight: entry.last_weight,
    isAvailable: (entry.flags & enums.destination_flag.DESTINATION_AVAILABLE) !== 0,
  };
}

/**
 * Undefined for an unused entry.
 * @param nowNs the programs' clock
 * @param addresses6 the entry's addresses where they are IPv6
 */
export function decodeConnection(
  bytes: Uint8Array,
  at: number,
  addresses6: () => Uint8Array,
  nowNs: bigint,
  settings: Settings,
): Connection | undefined {
  const stateOffset = at + layouts.connection.fields.state.offset;
  if (bytes[stateOffset] === enums.connection_state.STATE_NONE) return undefined;
  const entry = decode(layouts.connection, bytes, at);
  const isIpv6 = (entry.flags & enums.connection_flag.CONNECTION_IPV6) !== 0;
  const family = isIpv6 ? 6 : 4;
  const { client, virtual, destination } = isIpv6
    ? decode(layouts.addresses6, addresses6())
    : {
        client: wordBytes(entry.client),
        virtual: wordBytes(entry.virtual),
        destination: wordBytes(entry.destination),
      };
  const timeoutNs = settings.timeouts[entry.state] ?? 0n;
  const leftNs = entry.expires === never ? timeoutNs : entry.expires - nowNs;
  return {
    ...kindOf(entry),
    client: { address: addressFromBytes(family, client), port: entry.client_port },
    virtual: { address: addressFromBytes(family, virtual), port: entry.virtual_port },
    destination: { address: addressFromBytes(family, destination), port: entry.destination_port },
    expiresInMs: leftNs > 0n ? Number(leftNs / 1_000_000n) : 0,
  };
}

function kindOf(entry: {
  readonly flags: number;
  readonly protocol: number;
  readonly state: number;
}): Pick<Connection, 'protocol' | 'state' | 'isTemplate'> {
  const isTemplate = (entry.flags & enums.connection_flag.CONNECTION_TEMPLATE) !== 0;
  if (!isTemplate) {
    return { protocol: protocols.get(entry.protocol) ?? 'tcp', state: stateNames.get(entry.state) ?? 'NONE' };
  }
  return {
    protocol: protocols.get(entry.protocol & ~enums.template_protocol.TEMPLATE_PROTOCOL) ?? 'ip',
    state: entry.state === enums.connection_state.STATE_TEMPLATE_ASSURED ? 'ASSURED' : 'NONE',
    isTemplate,
  };
}

/** The 4 bytes of an IPv4 address that was read as a number. */
function wordBytes(word: number): Uint8Array {
  return Uint8Array.of(word >>> 24, word >>> 16, word >>> 8, word);
}

/** `expires` of a connection that a connected socket of the host keeps (NEVER of bpf/lib/abi.h). */
const never = 0xffff_ffff_ffff_ffffn;

export type Settings = StructValue<typeof layouts.settings>;
