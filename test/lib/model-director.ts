// SPDX-License-Identifier: Apache-2.0
// A director as the recordings have it, made of the schedulers' models: counts connections as the kernel does, sends nothing.
import { parseCommandLine } from '../../src/cli/grammar.ts';
import { systemResolver } from '../../src/cli/names.ts';
import { cidrContains, parseCidr } from '../../src/model/cidr.ts';
import { isSchedulerName } from '../../src/model/scheduler.ts';
import type { DestinationModel } from '../../src/model/schedulers/destination-model.ts';
import type { Request } from '../../src/model/schedulers/scheduler.ts';
import { ServiceModel } from '../../src/model/schedulers/service-model.ts';
import { virtualServiceId } from '../../src/model/virtual-service.ts';
import { Needs } from './oracle.ts';
import type { Scenario } from './oracle-schedulers.ts';

export interface ModelConnection {
  readonly destination: DestinationModel;
  isActive: boolean;
  state: string;
  expiresAt: number;
}

export interface ModelPacket extends Request {
  readonly destinationPort: number;
  readonly protocol: string;
}

interface Service {
  readonly model: ServiceModel;
  readonly isOnePacket: boolean;
}

/** Whether a connection of a state counts as active, and its timeout in seconds; of UDP and TCP --set may say another. */
const states: Readonly<Record<string, readonly [isActive: boolean, seconds: number]>> = {
  UDP: [false, 300],
  INIT1: [false, 4],
  SYN_RECV: [true, 60],
  ESTABLISHED: [true, 900],
  TIME_WAIT: [false, 120],
  CLOSE: [false, 10],
  CLOSE_WAIT: [false, 60],
};

/** The timer of lblc and lblcr, 60 s, is so late in the kernel of the recordings. */
const housekeepingSeconds = 61.44;

export class ModelDirector {
  readonly #scenario: Scenario;
  /** By what the recordings call them: "UDP 10.0.0.1:80", "FWM 5". */
  readonly #services = new Map<string, Service>();
  readonly #connections = new Map<string, ModelConnection>();
  readonly #timeouts = new Map<string, number>();
  #at = 0;
  #housekeepings = 0;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
  }

  /** Carries out one command line, "-A -t 10.0.0.1:80 -s rr". Throws Needs. */
  async ipvsadm(words: string): Promise<void> {
    const line = await parseCommandLine(words.split(' '), 'ipvsadm', systemResolver());
    const { command, settings, schedulerFlags, given } = line;
    if (command === 'set') {
      const [tcp = 0, , udp = 0] = settings.timeouts ?? [];
      if (tcp > 0) this.#timeouts.set('ESTABLISHED', tcp);
      if (udp > 0) this.#timeouts.set('UDP', udp);
      return;
    }
    const { service: at, server, scheduler, weight, upperThreshold, lowerThreshold } = settings;
    if (!at || settings.persistentSeconds !== undefined) throw new Needs('persistence');
    const name =
      at.mark === undefined
        ? virtualServiceId(at).replace(/^\w+/, (protocol) => protocol.toUpperCase())
        : `FWM ${at.mark}`;
    const model = this.#services.get(name)?.model;
    if (command === 'add-service' || command === 'edit-service') {
      if (!isSchedulerName(scheduler)) throw new Needs(`scheduler ${scheduler}`);
      if (model) model.edit({ scheduler, schedulerFlags });
      else
        this.#add(name, new ServiceModel({ scheduler, schedulerFlags }, this.#environment), given.has('ops'));
      return;
    }
    if (!model || !server) throw new Needs(`ipvsadm ${words}`);
    const destination = { ...server, weight, upperThreshold, lowerThreshold };
    if (command === 'add-server') model.add(destination);
    else if (command === 'edit-server') model.editDestination(destination);
    else if (command === 'delete-server') model.deleteDestination(server);
    else throw new Needs(`ipvsadm ${words}`);
  }

  #add(name: string, model: ServiceModel, isOnePacket: boolean): void {
    this.#services.set(name, { model, isOnePacket });
  }

  get #environment() {
    return {
      now: () => this.#at,
      lblcExpirationSeconds: this.#scenario.sysctl?.lblc_expiration ?? 86_400,
      lblcrExpirationSeconds: this.#scenario.sysctl?.lblcr_expiration ?? 86_400,
    };
  }

  service(packet: ModelPacket): Service | undefined {
    const { protocol, destination: address, destinationPort: port } = packet;
    const mark = this.#scenario.marks?.find((each) => {
      const network = parseCidr(each.destination);
      return network && cidrContains(network, address);
    })?.mark;
    const name = virtualServiceId({ protocol: protocol as 'udp', address, port });
    return (
      this.#services.get(`FWM ${mark}`) ??
      this.#services.get(name.replace(/^\w+/, (text) => text.toUpperCase()))
    );
  }

  connection(packet: ModelPacket): ModelConnection | undefined {
    return this.#connections.get(idOf(packet));
  }

  /**
   * A client's packet.
   * @param chosen takes the place of the scheduler's choice, where that is random
   * @returns where it goes
   */
  send(packet: ModelPacket, chosen?: DestinationModel): DestinationModel | undefined {
    const service = this.service(packet);
    const known = this.connection(packet);
    if (!service) return undefined;
    if (known && !known.destination.isAvailable) return undefined;
    const isAnew = known?.state === 'TIME_WAIT' || known?.state === 'CLOSE';
    if (known && !isAnew) {
      this.become(known, known.state);
      return known.destination;
    }
    if (known) this.#end(idOf(packet), known);
    const destination = chosen ?? service.model.pick(packet);
    if (!destination || service.isOnePacket) return destination;
    destination.bindConnection();
    const connection = { destination, isActive: false, state: '', expiresAt: 0 };
    this.#connections.set(idOf(packet), connection);
    this.become(connection, packet.protocol === 'tcp' ? 'SYN_RECV' : firstStates[packet.protocol]);
    return destination;
  }

  /** A packet brought the connection to this state. */
  become(connection: ModelConnection, state = ''): void {
    const [isActive, seconds] = states[state] ?? [];
    if (isActive === undefined || seconds === undefined) throw new Needs(`state ${state}`);
    const { destination } = connection;
    if (isActive && !connection.isActive) destination.activateConnection();
    if (!isActive && connection.isActive) destination.deactivateConnection();
    Object.assign(connection, { isActive, state });
    connection.expiresAt = this.#at + (this.#timeouts.get(state) ?? seconds);
  }

  #end(id: string, { destination, isActive }: ModelConnection): void {
    if (isActive) destination.deactivateConnection();
    destination.unbindConnection();
    this.#connections.delete(id);
  }

  /** Time passes; connections expire in their order. */
  sleep(seconds: number): void {
    const until = this.#at + seconds;
    for (;;) {
      const [next] = [...this.#connections].sort(([, a], [, b]) => a.expiresAt - b.expiresAt);
      const housekeeping = (this.#housekeepings + 1) * housekeepingSeconds;
      const expiry = next?.[1].expiresAt ?? Number.POSITIVE_INFINITY;
      if (Math.min(housekeeping, expiry) > until) break;
      this.#at = Math.min(housekeeping, expiry);
      if (next && expiry <= housekeeping) this.#end(...next);
      else {
        this.#housekeepings++;
        for (const { model } of this.#services.values()) model.housekeep();
      }
    }
    this.#at = until;
  }

  /** Active and inactive connections by service and destination. */
  counters(): ReadonlyMap<string, readonly DestinationModel[]> {
    return new Map([...this.#services].map(([name, { model }]) => [name, model.destinations]));
  }
}

const firstStates: Readonly<Record<string, string>> = { udp: 'UDP', sctp: 'INIT1' };

function idOf({ protocol, source, sourcePort, destination, destinationPort }: ModelPacket): string {
  return `${protocol} ${source} ${sourcePort} ${destination} ${destinationPort}`;
}
