// SPDX-License-Identifier: Apache-2.0
// Random lives of virtual services, in the loaded programs and in the model of the kernel's schedulers at once.
import assert from 'node:assert/strict';
import { type Address, formatAddressPort, parseAddress } from '../../src/model/address.ts';
import type { Operation } from '../../src/model/operation.ts';
import type { SchedulerFlag, SchedulerName } from '../../src/model/scheduler.ts';
import type { DestinationModel } from '../../src/model/schedulers/destination-model.ts';
import { isUsable, type VersionProfile } from '../../src/model/schedulers/scheduler.ts';
import { ServiceModel } from '../../src/model/schedulers/service-model.ts';
import type { Protocol } from '../../src/model/virtual-service.ts';
import { buildPacket, tupleOf } from './packet.ts';
import type { TestPlane } from './plane.ts';
import type { Random } from './random.ts';

/** Services share these virtual addresses one after the other, so that destinations come back from the trash, too. */
export const virtuals = 100;
/** When that much has passed no connection is left. */
export const secondsUntilEmpty = 901;

const names = 8;
const virtualPort = 80;
const destinationPort = 8080;
const flagSets: readonly (readonly SchedulerFlag[])[] = [[], ['flag-1'], ['flag-2'], ['flag-1', 'flag-2']];
/** The model's timer, from when a service got its scheduler on. */
const housekeepingSeconds = 60;
/** Seconds of its states: UDP, SYN_RECV, TIME_WAIT. */
const timeouts = { udp: 300, opened: 60, closed: 120 } as const;
/** No sums of these come within seconds of a timeout. */
const pauses = [61, 121, 301] as const;
/** Longer than the half hour after which lblc and lblcr forget what was not used for the time of the sysctl. */
const longPause = 1861;
/** The sysctls of lblc and lblcr. */
export const cacheExpirations = { lblcExpirationSeconds: 200, lblcrExpirationSeconds: 100 } as const;

interface OpenConnection {
  readonly protocol: Protocol;
  readonly client: { readonly address: Address; readonly port: number };
  readonly destination: DestinationModel;
  isActive: boolean;
  /** By the life's own clock, seconds. */
  endsAt: number;
}

type Settings = { weight: number; upperThreshold: number; lowerThreshold: number };

export interface LifeOptions {
  readonly scheduler: SchedulerName;
  /** To change to. */
  readonly schedulers: readonly SchedulerName[];
  readonly profile: VersionProfile;
  /** The life's number: gives family, protocol and virtual address. */
  readonly n: number;
}

/** One service from its adding to its end. */
export class Life {
  readonly #plane: TestPlane;
  readonly #random: Random;
  readonly #options: LifeOptions;
  readonly #model: ServiceModel;
  readonly #virtual: Address;
  readonly #isV6: boolean;
  readonly #protocol: Protocol;
  #connections: OpenConnection[] = [];
  #waiting: Operation[] = [];
  #clients = 0;
  #now = 0;
  /** Behind `#now` while the model catches up. */
  #modelNow = 0;
  #housekeepingAt = housekeepingSeconds;
  picks = 0;

  constructor(plane: TestPlane, random: Random, options: LifeOptions) {
    const { n, scheduler, profile } = options;
    this.#plane = plane;
    this.#random = random;
    this.#options = options;
    this.#isV6 = n % 4 === 3;
    this.#protocol = n % 3 === 0 ? 'udp' : 'tcp';
    const host = (n % virtuals) + 1;
    this.#virtual = this.#isV6 ? `fd00:10:96::${host.toString(16)}` : `10.96.0.${host}`;
    this.#model = new ServiceModel(
      { scheduler, schedulerFlags: random.pick(flagSets) },
      { profile, ...cacheExpirations, now: () => this.#modelNow },
    );
    this.#do({ do: 'add-service', service: this.#definition() });
  }

  live(steps: number): void {
    for (let destinations = this.#random.below(4); destinations > 0; destinations--) this.#add();
    for (let step = 0; step < steps; step++) this.#step();
    this.#do({ do: 'delete-service', service: this.#definition() });
    this.#flush();
  }

  #definition() {
    const { scheduler, schedulerFlags } = this.#model;
    const key = { protocol: this.#protocol, address: this.#virtual, port: virtualPort };
    return { ...key, scheduler, schedulerFlags, noDestination: 'drop' } as const;
  }

  #step(): void {
    const choice = this.#random.below(20);
    if (choice < 3) this.#add();
    else if (choice < 6) this.#edit();
    else if (choice === 6) this.#delete();
    else if (choice === 7 && this.#random.once(2)) this.#editService();
    else if (choice === 8) this.#pause();
    else if (choice < 11) this.#close();
    else if (choice === 11 && this.#random.once(20)) this.#restart();
    else for (let i = 1 + this.#random.below(4); i > 0; i--) this.#pick();
  }

  #settings(): Settings {
    const random = this.#random;
    const huge = random.once(8) ? 2000 + random.below(4000) : 1000;
    const weight = random.once(4) ? 0 : random.once(10) ? huge : 1 + random.below(5);
    const upperThreshold = random.once(3) ? 1 + random.below(4) : 0;
    return { weight, upperThreshold, lowerThreshold: random.below(upperThreshold + 1) };
  }

  #add(): void {
    const present = this.#model.destinations.map(({ address }) => address);
    const absent = Array.from({ length: names }, (_, n) => this.#addressOf(n)).filter(
      (address) => !present.includes(address),
    );
    if (absent.length === 0) return;
    const destination = { address: this.#random.pick(absent), port: destinationPort, ...this.#settings() };
    this.#model.add(destination);
    this.#destination('add-destination', destination);
  }

  #edit(): void {
    const [address] = this.#somebody();
    if (address === undefined) return;
    const destination = { address, port: destinationPort, ...this.#settings() };
    this.#model.editDestination(destination);
    this.#destination('edit-destination', destination);
  }

  #delete(): void {
    const [address] = this.#somebody();
    if (address === undefined) return;
    this.#model.deleteDestination({ address, port: destinationPort });
    this.#destination('delete-destination', { address, port: destinationPort, ...this.#settings() });
  }

  #somebody(): readonly [Address?] {
    const { destinations } = this.#model;
    return destinations.length === 0 ? [] : [this.#random.pick(destinations).address];
  }

  #destination(
    kind: 'add-destination' | 'edit-destination' | 'delete-destination',
    settings: Settings & { address: Address; port: number },
  ): void {
    const destination = { ...settings, forwarding: 'masq' } as const;
    this.#do({ do: kind, service: this.#definition(), destination } as Operation);
  }

  #editService(): void {
    const { scheduler } = this.#model;
    this.#setScheduler(this.#random.once(2) ? this.#random.pick(this.#options.schedulers) : scheduler);
    if (this.#random.once(2)) this.#setScheduler(this.#options.scheduler);
  }

  #setScheduler(scheduler: SchedulerName): void {
    if (scheduler !== this.#model.scheduler) this.#housekeepingAt = this.#now + housekeepingSeconds;
    this.#model.edit({ scheduler, schedulerFlags: this.#random.pick(flagSets) });
    this.#do({ do: 'edit-service', service: this.#definition() });
  }

  #pause(): void {
    this.#flush();
    const seconds = this.#random.once(5) ? longPause : this.#random.pick(pauses);
    this.#plane.advance(seconds);
    this.#now += seconds;
    this.#keepHouse();
    for (const { destination, isActive } of this.#connections.filter(({ endsAt }) => endsAt <= this.#now)) {
      if (isActive) destination.deactivateConnection();
      destination.unbindConnection();
    }
    this.#connections = this.#connections.filter(({ endsAt }) => endsAt > this.#now);
  }

  #keepHouse(): void {
    for (; this.#housekeepingAt <= this.#now; this.#housekeepingAt += housekeepingSeconds) {
      this.#modelNow = this.#housekeepingAt;
      this.#model.housekeep();
    }
    this.#modelNow = this.#now;
  }

  /** The client's FIN on a TCP connection that is being opened: TIME_WAIT. That of a removed destination is dropped. */
  #close(): void {
    const open = this.#connections.filter(({ isActive, destination }) => isActive && destination.isAvailable);
    if (open.length === 0) return;
    const connection = this.#random.pick(open);
    this.#flush();
    assert.equal(this.#send(connection.client, 'FA'), nameOf(connection.destination), 'of a FIN');
    connection.destination.deactivateConnection();
    connection.isActive = false;
    connection.endsAt = this.#now + timeouts.closed;
  }

  #restart(): void {
    this.#flush();
    this.#plane.restart({ ipvsProfile: this.#options.profile, ...cacheExpirations });
  }

  #pick(): void {
    this.#flush();
    const number = this.#random.below(65536);
    const address = canonical(
      this.#isV6
        ? `2001:db8::${number.toString(16)}:${++this.#clients}`
        : `172.16.${number >> 8}.${number & 255}`,
    );
    const client = { address, port: 1024 + this.#random.below(60_000) };
    const destination = this.#isDrawn(client) ?? this.#decided(client);
    this.picks++;
    if (!destination) return;
    const isTcp = this.#protocol === 'tcp';
    destination.bindConnection();
    if (isTcp) destination.activateConnection();
    const endsAt = this.#now + (isTcp ? timeouts.opened : timeouts.udp);
    this.#connections.push({ protocol: this.#protocol, client, destination, isActive: isTcp, endsAt });
  }

  #decided(client: OpenConnection['client']): DestinationModel | undefined {
    const request = { source: client.address, sourcePort: client.port, destination: this.#virtual };
    const chosen = this.#model.pick(request);
    assert.equal(this.#send(client, 'S'), chosen && nameOf(chosen));
    return chosen;
  }

  /** twos draws: any usable destination may be chosen, and one must be where there is one. */
  #isDrawn(client: OpenConnection['client']): DestinationModel | undefined {
    if (this.#model.scheduler !== 'twos') return undefined;
    const usable = this.#model.destinations.filter(isUsable);
    if (usable.length === 0) return undefined;
    const name = this.#send(client, 'S');
    const drawn = usable.find((each) => nameOf(each) === name);
    assert.ok(drawn, `one of ${usable.map(nameOf)}, not ${name}`);
    return drawn;
  }

  /** @returns where the data plane sends a client's packet; undefined where it has no one to send it to */
  #send(client: OpenConnection['client'], flags: string): string | undefined {
    const outcome = this.#plane.ingress(
      buildPacket({
        source: client.address,
        sourcePort: client.port,
        destination: this.#virtual,
        destinationPort: virtualPort,
        protocol: this.#protocol,
        flags,
      }),
    );
    return outcome.verdict === 'pass' ? tupleOf(outcome.packet).destination : undefined;
  }

  #addressOf(n: number): Address {
    return canonical(this.#isV6 ? `fd00:10:244::${n + 1}` : `10.244.0.${n + 1}`);
  }

  /** Operations wait for one another now and then, so that several are carried out at once. */
  #do(operation: Operation): void {
    this.#waiting.push(operation);
    if (this.#random.once(2)) this.#flush();
  }

  #flush(): void {
    if (this.#waiting.length > 0) this.#plane.apply(...this.#waiting);
    this.#waiting = [];
  }
}

function nameOf({ address, port }: DestinationModel): string {
  return formatAddressPort(address, port);
}

function canonical(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(`Expected an address but received ${text}`);
  return address;
}
