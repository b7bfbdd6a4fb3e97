// SPDX-License-Identifier: Apache-2.0
// A director as the recordings have it: configured by ipvsadm's command lines, fed with crafted packets.
import { parseCommandLine } from '../../src/cli/grammar.ts';
import { systemResolver } from '../../src/cli/names.ts';
import { defaultCacheSeconds } from '../../src/dataplane/bpf/options.ts';
import { isKnownScheduler } from '../../src/dataplane/bpf/schedulers.ts';
import { formatAddressPort } from '../../src/model/address.ts';
import type { Connection } from '../../src/model/connection.ts';
import type { Operation } from '../../src/model/operation.ts';
import { isSchedulerName } from '../../src/model/scheduler.ts';
import { destinationId, type VirtualServiceKey, virtualServiceId } from '../../src/model/virtual-service.ts';
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
  // The kernel's connection tracking is not touched, whatever it says; see docs/decisions on reused ports.
  'conntrack',
];

/** One at a time: the next one takes the programs over. */
export class Director {
  /** Loaded when it is first needed: a replay that is skipped before costs nothing. */
  #plane: TestPlane | undefined;
  readonly #sysctl: Readonly<Record<string, number>>;
  /** Seconds since the director was set up. */
  #at = 0;
  readonly #services = new Map<string, VirtualServiceKey>();

  /** @param sysctl values under net.ipv4.vs. Throws Needs. */
  constructor(sysctl: Readonly<Record<string, number>> = {}) {
    for (const [name, value] of Object.entries(sysctl)) {
      if (!knownSysctls.includes(name) && value !== 0) throw new Needs(`sysctl ${name}`);
    }
    this.#sysctl = sysctl;
  }

  get plane(): TestPlane {
    this.#plane ??= TestPlane.reuse({
      expireNodestConn: this.#sysctl.expire_nodest_conn === 1,
      connReuseMode: this.#sysctl.conn_reuse_mode ?? 1,
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
    if (at.mark !== undefined) throw new Needs('firewall-mark services');
    if (settings.persistentSeconds !== undefined) throw new Needs('persistence');
    if (given.has('ops')) throw new Needs('one-packet scheduling');
    const service = { protocol: at.protocol, address: at.address, port: at.port };
    if (service.port === 0) throw new Needs('services of all ports');
    this.plane.apply(this.#operation(command, service, settings, schedulerFlags, server));
    this.#services.set(virtualServiceId(service), service);
  }

  #operation(
    command: string,
    service: VirtualServiceKey,
    settings: Awaited<ReturnType<typeof parseCommandLine>>['settings'],
    schedulerFlags: Awaited<ReturnType<typeof parseCommandLine>>['schedulerFlags'],
    server: { address: string; port: number } | undefined,
  ): Operation {
    if (command === 'delete-service') return { do: 'delete-service', service };
    if (command === 'add-service' || command === 'edit-service') {
      const { scheduler } = settings;
      if (!isSchedulerName(scheduler) || !isKnownScheduler(scheduler))
        throw new Needs(`scheduler ${scheduler}`);
      return { do: command, service: { ...service, scheduler, schedulerFlags, noDestination: 'reject' } };
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
    const { verdict, packet: out } = this.plane.ingress(buildPacket(packet));
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
    if (at <= this.#at) return;
    this.plane.advance(at - this.#at);
    this.#at = at;
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
        const name = id.replace(/^\w+/, (protocol) => protocol.toUpperCase());
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
