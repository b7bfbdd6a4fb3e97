// SPDX-License-Identifier: Apache-2.0
// A destination with its connection counts, and whether it is full (ip_vs_ctl.c, ip_vs_conn.c).
import type { Address } from '../address.ts';
import type { Destination, DestinationKey } from '../virtual-service.ts';
import type { Member, VersionProfile } from './scheduler.ts';

/** What schedulers need of a destination. */
export type DestinationSettings = Omit<Destination, 'forwarding'>;

export class DestinationModel implements Member {
  readonly address: Address;
  readonly port: number;
  readonly #profile: VersionProfile;
  #weight = 0;
  #lastWeight = 0;
  #upper = 0;
  #lower = 0;
  #active = 0;
  #total = 0;
  #isOverloaded = false;
  #isAvailable = false;

  /** Not in service before {@link enter}. */
  constructor({ address, port }: DestinationKey, profile: VersionProfile) {
    this.address = address;
    this.port = port;
    this.#profile = profile;
  }

  get weight(): number {
    return this.#weight;
  }

  get lastWeight(): number {
    return this.#lastWeight;
  }

  get activeConnections(): number {
    return this.#active;
  }

  get totalConnections(): number {
    return this.#total;
  }

  get inactiveConnections(): number {
    return this.#total - this.#active;
  }

  get isOverloaded(): boolean {
    return this.#isOverloaded;
  }

  get isAvailable(): boolean {
    return this.#isAvailable;
  }

  /** It is added to its service, perhaps once more: with what connections are left. */
  enter(settings: DestinationSettings): void {
    this.#isAvailable = true;
    this.#lastWeight = settings.weight;
    this.#take(settings);
  }

  edit(settings: DestinationSettings): void {
    if (settings.weight !== 0) this.#lastWeight = settings.weight;
    this.#take(settings);
  }

  /** It is deleted; its connections are not. */
  leave(): void {
    this.#isAvailable = false;
  }

  /** A new connection, inactive at first. */
  bindConnection(): void {
    this.#total++;
    if (this.#upper > 0 && this.#total >= this.#upper) this.#isOverloaded = true;
  }

  /** One of its connections became active. */
  activateConnection(): void {
    this.#active++;
  }

  /** One of its active connections became inactive. */
  deactivateConnection(): void {
    this.#active--;
  }

  /** One of its connections ended, which is inactive by now. */
  unbindConnection(): void {
    this.#total--;
    if (this.#total < this.#freeBelow) this.#isOverloaded = false;
  }

  /** With fewer connections it is not full any more: three quarters of the upper threshold where no lower one is given. */
  get #freeBelow(): number {
    return this.#lower > 0 ? this.#lower : this.#upper - (this.#upper >>> 2);
  }

  #take({ weight, upperThreshold: upper = 0, lowerThreshold: lower = 0 }: DestinationSettings): void {
    const before = { upper: this.#upper, lower: this.#lower };
    this.#weight = weight;
    this.#upper = upper;
    this.#lower = lower;
    if (this.#profile === 'classic') {
      if (upper === 0 || upper > before.upper) this.#isOverloaded = false;
    } else if (upper !== before.upper || lower !== before.lower) {
      if (upper === 0 || this.#total < this.#freeBelow) this.#isOverloaded = false;
      if (upper > 0 && this.#total >= upper) this.#isOverloaded = true;
    }
  }
}
