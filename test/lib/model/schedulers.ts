// SPDX-License-Identifier: Apache-2.0
// How kernel IPVS chooses, said as simply as can be: what the loaded programs must agree with.
import { type Address, addressBytes } from '../../../src/model/address.ts';

export interface Member {
  readonly name: string;
  weight: number;
}

export interface Client {
  readonly address: Address;
  readonly port: number;
}

export type ModelScheduler = 'rr' | 'sh' | 'dh';

const places = 256;

/** IPv4 as one number, IPv6 as the exclusive or of its four words. */
function fold(address: Address): number {
  const view = new DataView(addressBytes(address).buffer);
  return (view.getUint32(0) ^ view.getUint32(4) ^ view.getUint32(8) ^ view.getUint32(12)) >>> 0;
}

/** include/linux/hash.h: hash_32(x, 8). */
function hash(x: number): number {
  return Math.imul(x, 0x61c88647) >>> 24;
}

export function sourceHash({ address, port }: Client, usesPort: boolean): number {
  return hash((fold(address) + (usesPort ? port : 0)) >>> 0);
}

export function destinationHash(virtual: Address): number {
  return hash(fold(virtual));
}

/** ip_vs_sh.c: each member as many places in a row as its weight, one at least. */
export function sourceTable(list: readonly Member[]): readonly Member[] {
  const round = list.flatMap((member) =>
    new Array<Member>(Math.min(Math.max(member.weight, 1), places)).fill(member),
  );
  return Array.from({ length: list.length === 0 ? 0 : places }, (_, place) =>
    at(round, place % round.length),
  );
}

/** ip_vs_dh.c: one place each in turn. */
export function destinationTable(list: readonly Member[]): readonly Member[] {
  return Array.from({ length: list.length === 0 ? 0 : places }, (_, place) => at(list, place % list.length));
}

function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined)
    throw new RangeError(`Expected an index below ${list.length} but received ${index}`);
  return found;
}

/** One virtual service: its list, newest first, and its scheduler's state. */
export class ServiceModel {
  readonly #virtual: Address;
  #scheduler: ModelScheduler;
  #flags: readonly string[];
  #list: Member[] = [];
  /** Of rr: whom it chose last; undefined is the head of the list, before its first member. */
  #cursor: Member | undefined;

  constructor(virtual: Address, scheduler: ModelScheduler, flags: readonly string[]) {
    this.#virtual = virtual;
    this.#scheduler = scheduler;
    this.#flags = flags;
  }

  get names(): readonly string[] {
    return this.#list.map(({ name }) => name);
  }

  editService(scheduler: ModelScheduler, flags: readonly string[]): void {
    if (scheduler !== this.#scheduler) this.#cursor = undefined;
    this.#scheduler = scheduler;
    this.#flags = flags;
  }

  add(name: string, weight: number): void {
    this.#list.unshift({ name, weight });
  }

  edit(name: string, weight: number): void {
    for (const member of this.#list) if (member.name === name) member.weight = weight;
  }

  delete(name: string): void {
    const index = this.#list.findIndex((member) => member.name === name);
    if (this.#cursor?.name === name) this.#cursor = this.#list[index - 1];
    this.#list.splice(index, 1);
  }

  pick(client: Client): string | undefined {
    switch (this.#scheduler) {
      case 'rr':
        return this.#pickNext();
      case 'sh':
        return this.#pickBySource(client);
      case 'dh':
        return usable(destinationTable(this.#list)[destinationHash(this.#virtual)])?.name;
    }
  }

  #pickNext(): string | undefined {
    const from = this.#cursor ? this.#list.indexOf(this.#cursor) + 1 : 0;
    const walk = [...this.#list.slice(from), ...this.#list.slice(0, from)];
    const found = walk.find((member) => usable(member));
    if (found) this.#cursor = found;
    return found?.name;
  }

  #pickBySource(client: Client): string | undefined {
    const table = sourceTable(this.#list);
    const first = sourceHash(client, this.#flags.includes('flag-2'));
    const found = usable(table[first]);
    if (found || !this.#flags.includes('flag-1')) return found?.name;
    for (let offset = 0; offset < places; offset++) {
      const probed = usable(table[(first + ((offset + first) % places)) % places]);
      if (probed) return probed.name;
    }
    return undefined;
  }
}

function usable(member: Member | undefined): Member | undefined {
  return member && member.weight > 0 ? member : undefined;
}
