// SPDX-License-Identifier: Apache-2.0
// A director as the recordings have it: configured by ipvsadm's command lines, fed with crafted packets.
import { parseCommandLine } from '../../src/cli/grammar.ts';
import { systemResolver } from '../../src/cli/names.ts';

import { persistenceOf } from '../../src/cli/persistence.ts';

import { defaultCacheSeconds } from '../../src/dataplane/bpf/options.ts';

import { isKnownScheduler } from '../../src/dataplane/bpf/schedulers.ts';
import { formatAddressPort } from '../../src/model/address.ts';
import { type Cidr, cidrContains, parseCidr } from '../../src/model/cidr.ts';
import type { Connection } from '../../src/model/connection.ts';
import type { Operation } from '../../src/model/operation.ts';
import { isSchedulerName } from '../../src/model/scheduler.ts';
import {
  destinationId,
  type ServiceTerms,
  type VirtualServiceKey,
  virtualServiceId,
  virtualServiceKey,
} from '../../src/model/virtual-service.ts';
import { Needs } from './oracle.ts';
import { buildPacket, type PacketDescription, tupleOf } from './packet.ts';
import { TestPlane } from './plane.ts';

/** The sysctls of net.ipv4.vs that a recording may set, with what is there of each. */
const knownSysctls = [
  'expire_nodest_conn',
  'conn_reuse_mode',
  'expire_quiescent_template',
  'secure_tcp',
  'lblc_expiration',
  'lblcr_expiration',
  'sloppy_tcp',
  'sloppy_sctp',
  // The kernel's connection tracking is not touched, whatever it says; see docs/decisions on reused ports.
  'conntrack',
];

/** So often what is due is seen to, where it matters: a template's next round begins when the last was seen to end. */
const sweepSeconds = 2;

/** Packets to this network carry this firewall mark. */
export interface Mark {
  readonly destination: string;
  readonly mark: number;
}

/** One at a time: the next one takes the programs over. */
export class Director {
  /** Loaded when it is first needed: a replay that is skipped before costs nothing. */
  #plane: TestPlane | undefined;
  readonly #sysctl: Readonly<Record<string, number>>;
  /** Seconds since the director was set up. */
  #at = 0;

  #hasTemplates = false;
  readonly #marks: readonly { readonly to: Cidr; readonly mark: number }[];

  /**
   * @param sysctl values under net.ipv4.vs
   * @param marks firewall marks by the packets' destinations
   * Throws Needs.
   */
  constructor(sysctl: Readonly<Record<string, number>> = {}, marks: readonly Mark[] = []) {
    for (const [name, value] of Object.entries(sysctl)) {
      if (!knownSysctls.includes(name) && value !== 0) throw new Needs(`sysctl ${name}`);
    }
    this.#sysctl = sysctl;
    this.#marks = marks.flatMap(({ destination, mark }) => {
      const to = parseCidr(destination);
      return to ? [{ to, mark }] : [];
    });
  }

  get plane(): TestPlane {
    this.#plane ??= TestPlane.reuse({
      expireNodestConn: this.#sysctl.expire_nodest_conn === 1,
      connReuseMode: this.#sysctl.conn_reuse_mode ?? 1,
      expireQuiescentTemplate: this.#sysctl.expire_quiescent_template === 1,
      sloppyTcp: this.#sysctl.sloppy_tcp === 1,
      sloppySctp: this.#sysctl.sloppy_sctp === 1,
      secureTcp: (this.#sysctl.secure_tcp ?? 0) >= 2,
      lblcExpirationSeconds: this.#sysctl.lblc_expiration ?? defaultCacheSeconds,
      lblcrExpirationSeconds: this.#sysctl.lblcr_expiration ?? defaultCacheSeconds,
    });
    return this.#plane;
  }

  /** Carries out one command line, "-A -t 10.0.0.1:80 -s rr". Throws Needs. */
  async ipvsadm(words: string): Promise<void> {
    const { command, settings, schedulerFlags, given } = await parseCommandLine(
      words.split(' '),
      'ipvsadm',
      systemResolver(),
    );
    const { service: at, server } = settings;
    if (command === 'set') {
      const [tcpSeconds, tcpFinSeconds, udpSeconds] = settings.timeouts ?? [];
      this.plane.plane.setTimeouts({ tcpSeconds, tcpFinSeconds, udpSeconds });
      return;
    }
    if (at === undefined) throw new Needs(`ipvsadm ${words}`);
    this.#hasTemplates ||= settings.persistentSeconds !== undefined;
    const terms = { schedulerFlags, persistence: persistenceOf(settings), isOnePacket: given.has('ops') };
    this.plane.apply(this.#operation(command, virtualServiceKey(at), settings, terms, server));
  }

  #operation(
    command: string,
    service: VirtualServiceKey,
    settings: Awaited<ReturnType<typeof parseCommandLine>>['settings'],
    terms: Pick<ServiceTerms, 'schedulerFlags' | 'persistence' | 'isOnePacket'>,
    server: { address: string; port: number } | undefined,
  ): Operation {
    if (command === 'delete-service') return { do: 'delete-service', service };
    if (command === 'add-service' || command === 'edit-service') {
      const { scheduler } = settings;
      if (!isSchedulerName(scheduler) || !isKnownScheduler(scheduler))
        throw new Needs(`scheduler ${scheduler}`);
      return { do: command, service: { ...service, ...terms, scheduler, noDestination: 'reject' } };
    }
    if (server === undefined) throw new Needs(`ipvsadm ${command}`);
    if (command === 'delete-server') return { do: 'delete-destination', service, destination: server };
    const { weight, forwarding, upperThreshold, lowerThreshold } = settings;
    if (forwarding !== 'masq')
      throw new Needs(`forwarding method ${forwarding === 'droute' ? 'Route' : 'Tunnel'}`);
    const destination = { ...server, weight, forwarding, upperThreshold, lowerThreshold };
    if (command === 'add-server') return { do: 'add-destination', service, destination };
    if (command === 'edit-server') return { do: 'edit-destination', service, destination };
    throw new Needs(`ipvsadm ${command}`);
  }

  /** Sends a client's packet. @returns where it was forwarded to, or null */
  fromClient(packet: PacketDescription): string | null {
    const mark = this.#marks.find(({ to }) => cidrContains(to, packet.destination))?.mark;
    const { verdict, packet: out } = this.plane.ingress(buildPacket(packet), 0, mark);
    if (verdict !== 'pass') return null;
    const to = tupleOf(out).destination;
    return to === formatAddressPort(packet.destination, packet.destinationPort ?? 0) ? null : to;
  }

  /** Sends a real server's packet. @returns whom the client sees as its sender */
  fromServer(packet: PacketDescription): string {
    return tupleOf(this.plane.egress(buildPacket(packet)).packet).source;
  }

  get at(): number {
    return this.#at;
  }

  /** Moves the clock to so many seconds since the set-up; never back. */
  goTo(at: number): void {
    while (this.#at < at) {
      const next = this.#hasTemplates ? Math.min(at, this.#at + sweepSeconds) : at;
      this.plane.advance(next - this.#at);
      this.#at = next;
    }
  }

  connections(): Connection[] {
    return [...this.plane.plane.connections()];
  }

  /** The real servers of weight 0. */
  quiesced(): string[] {
    const destinations = this.plane.plane.configuration().flatMap((service) => service.destinations);
    return destinations.filter(({ weight }) => weight === 0).map(destinationId);
  }

  /** Active and inactive connections of every real server in service, by service ("UDP 10.0.0.1:80") and server. */
  counters(): ReadonlyMap<string, ReadonlyMap<string, readonly [number, number]>> {
    return new Map(
      this.plane.plane.services().map((service) => {
        const id = virtualServiceId(service);
        const name = id.replace(/^\w+/, (protocol) => protocol.toUpperCase()).replace(/ ipv6$/, '');
        return [
          name,
          new Map(
            service.destinations.map((destination) => [
              destinationId(destination),
              [destination.activeConnections, destination.inactiveConnections] as const,
            ]),
          ),
        ];
      }),
    );
  }
}
