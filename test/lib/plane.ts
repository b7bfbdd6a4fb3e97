// SPDX-License-Identifier: Apache-2.0
// A BPF data plane without pins or devices, whose packets are test runs and whose time stands still.
import { existsSync } from 'node:fs';
import { BpfDataPlane } from '../../src/dataplane/bpf/bpf-data-plane.ts';
import { onlyKey } from '../../src/dataplane/bpf/bpf-maps.ts';
import { BpfPrograms } from '../../src/dataplane/bpf/bpf-programs.ts';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { type BpfOptions, defaultTimeouts } from '../../src/dataplane/bpf/options.ts';
import { contextWith } from '../../src/dataplane/bpf/program-pins.ts';
import { encode } from '../../src/dataplane/bpf/struct.ts';
import { parseAddressPort } from '../../src/model/address.ts';
import type { Operation } from '../../src/model/operation.ts';
import type { SchedulerFlag, SchedulerName } from '../../src/model/scheduler.ts';
import type { AddressServiceKey, Persistence, Protocol } from '../../src/model/virtual-service.ts';

/** What a hook said about a packet, and the packet as it left it. */
export interface Outcome {
  readonly verdict: 'pass' | 'drop' | 'redirect';
  readonly packet: Uint8Array;
}

/** include/uapi/linux/pkt_cls.h: TC_ACT_UNSPEC, TC_ACT_SHOT, TC_ACT_REDIRECT. */
const tcVerdicts = new Map<number, Outcome['verdict']>([
  [0xffff_ffff, 'pass'],
  [2, 'drop'],
  [7, 'redirect'],
]);

/** include/uapi/linux/bpf.h: XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT. */
const xdpVerdicts = new Map<number, Outcome['verdict']>([
  [1, 'drop'],
  [2, 'pass'],
  [3, 'redirect'],
  [4, 'redirect'],
]);

/** Which hooks a packet meets on its way in: XDP is that of a NIC, where tc follows. */
export type WayIn = 'tc' | 'xdp and tc';

export const testSizes = {
  services: 1024,
  destinations: 4096,
  places: 1 << 20,
  connections: 65_536,
  halfOpen: 16_384,
};

/** Why programs cannot be run on this machine, or undefined. */
export function missingForBpf(): string | undefined {
  if (process.getuid?.() !== 0) return 'running BPF programs needs root';
  if (!existsSync('/sys/kernel/btf/vmlinux')) return 'this kernel has no BTF';
  return undefined;
}

export const testOptions: BpfOptions = {
  sizes: testSizes,
  timeouts: defaultTimeouts,
  expireNodestConn: false,
  connReuseMode: 1,
  servesSockets: false,
  hasVirtualClock: true,
};

/** Loaded once, for tests that need many planes one after the other. */
let reusedPrograms: BpfPrograms | undefined;

export interface TestPlaneOptions extends Partial<BpfOptions> {
  /** tc alone if not given. */
  readonly wayIn?: WayIn;
}

/** Of struct __sk_buff. */
const ifindexOffset = 40;
const markOffset = 8;

export class TestPlane implements Disposable {
  #plane: BpfDataPlane;
  readonly #wayIn: WayIn;

  /** @param programs loaded before, with the same sizes and over empty maps; they stay loaded */
  constructor({ wayIn = 'tc', ...options }: TestPlaneOptions = {}, programs?: BpfPrograms) {
    const all = { ...testOptions, ...options };
    this.#wayIn = wayIn;
    this.#plane = programs ? BpfDataPlane.over(programs, all) : BpfDataPlane.open(all);
    this.plane.programs.fillHandlers();
    if (all.hasVirtualClock && !this.plane.programs.isAdopted) this.advance(1000);
    const lo = encode(layouts.xdp_device, { ifindex: 1 }); // by which test runs come in
    this.plane.programs.maps.get('xdp_devices').update(new Uint8Array([1, 0, 0, 0]), lo);
  }

  /** An empty plane over programs that an earlier one used, which must not be used any more. */
  static reuse(options: TestPlaneOptions = {}): TestPlane {
    reusedPrograms ??= BpfPrograms.load(testOptions);
    empty(reusedPrograms);
    return new TestPlane(options, reusedPrograms);
  }

  get plane(): BpfDataPlane {
    return this.#plane;
  }

  /** As if another process had taken the maps over: what was known of them is read anew. */
  restart(options: Partial<BpfOptions> = {}): void {
    this.#plane = BpfDataPlane.over(this.#plane.programs, { ...testOptions, ...options });
  }

  /** Adds a virtual service and its destinations, in this order. Throws the first failure. */
  serve(
    protocol: Protocol,
    at: string,
    destinations: readonly (string | { readonly at: string; readonly weight: number })[],
    options: {
      scheduler?: SchedulerName;
      flags?: readonly SchedulerFlag[];
      noDestination?: 'reject' | 'drop';
      persistence?: Persistence;
      isOnePacket?: boolean;
    } = {},
  ): AddressServiceKey {
    const { scheduler = 'rr', flags = [], noDestination = 'reject', persistence, isOnePacket } = options;
    const service = { protocol, ...socketAddress(at) };
    this.apply(
      {
        do: 'add-service',
        service: { ...service, scheduler, schedulerFlags: flags, noDestination, persistence, isOnePacket },
      },
      ...destinations.map((entry): Operation => {
        const { at, weight } = typeof entry === 'string' ? { at: entry, weight: 1 } : entry;
        const destination = { ...socketAddress(at), weight, forwarding: 'masq' as const };
        return { do: 'add-destination', service, destination };
      }),
    );
    return service;
  }

  apply(...operations: readonly Operation[]): void {
    const [failure] = this.plane.apply(operations);
    if (failure) throw failure.error;
  }

  /**
   * A packet from a client, at every hook of the way in.
   * @param flags BPF_F_TEST_* of tc
   * @param mark the firewall mark that a filter before ours gave it
   */
  ingress(packet: Uint8Array, flags = 0, mark = 0): Outcome {
    const context = contextWith();
    new DataView(context.buffer).setUint32(markOffset, mark, true);
    const marked = mark === 0 ? undefined : context;
    if (this.#wayIn === 'tc') return this.#run('tc_ingress', packet, tcVerdicts, flags, marked);
    const first = this.xdp(packet);
    return first.verdict === 'pass'
      ? this.#run('tc_ingress', first.packet, tcVerdicts, flags, marked)
      : first;
  }

  /** A packet from a client, at XDP alone. */
  xdp(packet: Uint8Array): Outcome {
    return this.#run('xdp_ingress', packet, xdpVerdicts);
  }

  egress(packet: Uint8Array, flags = 0): Outcome {
    return this.#run('tc_egress', packet, tcVerdicts, flags);
  }

  /** A packet that comes in by a device, with --local-redirect: tc is the first to meet it. */
  arrive(packet: Uint8Array, ifindex: number): Outcome {
    const context = contextWith();
    new DataView(context.buffer).setUint32(ifindexOffset, ifindex, true);
    return this.#run('local_ingress', packet, tcVerdicts, 0, context);
  }

  /** Moves the clock on and lets the sweep see all connections. */
  advance(seconds: number): void {
    const shared = this.plane.programs.maps.get('shared');
    const value = shared.lookup(onlyKey);
    if (!value) throw new Error('the map shared is empty');
    const offset = layouts.shared.fields.virtual_now.offset;
    value.writeBigUInt64LE(value.readBigUInt64LE(offset) + BigInt(Math.round(seconds * 1e9)), offset);
    shared.update(onlyKey, value);
    this.plane.programs.run('sweep');
  }

  reason(name: string): bigint {
    return this.plane.view.reasons().get(name) ?? 0n;
  }

  /** Programs that are used again stay loaded. */
  [Symbol.dispose](): void {
    if (this.plane.programs !== reusedPrograms) this.plane.close();
  }

  #run(
    program: string,
    packet: Uint8Array,
    verdicts: ReadonlyMap<number, Outcome['verdict']>,
    flags = 0,
    context?: Uint8Array,
  ): Outcome {
    const input = { data: packet, flags, ...(context && { context }) };
    const { returnValue, data } = this.plane.programs.program(program).testRun(input);
    const verdict = verdicts.get(returnValue);
    if (!verdict) throw new Error(`${program} returned ${returnValue}`);
    return { verdict, packet: new Uint8Array(data) };
  }
}

/** Ends all connections, then forgets services and destinations. */
function empty(programs: BpfPrograms): void {
  const { maps } = programs;
  const shared = maps.get('shared');
  const value = shared.lookup(onlyKey);
  if (!value) throw new Error('the map shared is empty');
  const offset = layouts.shared.fields.virtual_now.offset;
  value.writeBigUInt64LE(value.readBigUInt64LE(offset) + 1_000_000_000_000_000n, offset);
  shared.update(onlyKey, value);
  programs.run('sweep');
  value.writeBigUInt64LE(value.readBigUInt64LE(offset) + 1_000_000_000_000n, offset); // templates that were held
  shared.update(onlyKey, value);
  programs.run('sweep');
  for (const name of [
    'services',
    'service_statistics',
    'source_ranges',
    'caches',
    'cached_addresses',
    'cached_destinations',
    'fragments',
    'hosted_addresses',
    'uplinks',
    'sockets',
    'orphaned_sockets',
    'bridge_ports',
    'pod_devices',
  ] as const) {
    for (const key of [...maps.get(name).keys()]) maps.get(name).delete(key);
  }
  for (const name of [
    'virtual_addresses',
    'destination_addresses',
    'xdp_devices',
    'reasons',
    'destinations',
    'destination_loads',
    'destination_traffic',
    'destination_estimates',
    'overloads',
  ] as const) {
    const map = maps.get(name);
    const keys = Uint32Array.from({ length: map.maxEntries }, (_, index) => index);
    map.updateBatch(
      new Uint8Array(keys.buffer),
      new Uint8Array(map.maxEntries * map.crossingSize),
      map.maxEntries,
    );
  }
}

export function socketAddress(text: string): { address: string; port: number } {
  const parsed = parseAddressPort(text);
  if (!parsed) throw new TypeError(`Expected ADDRESS:PORT but received ${text}`);
  return parsed;
}
