// SPDX-License-Identifier: Apache-2.0
// Which kinds of virtual services there are, of those that take more than to look for a packet's address and port.
import type { Address } from '../../model/address.ts';
import type { VirtualServiceKey } from '../../model/virtual-service.ts';
import { enums } from './layouts.ts';

const { SERVICES_OF_MARKS, SERVICES_OF_FTP, SERVICES_OF_ALL_PORTS, SERVICES_AT_DESTINATIONS } =
  enums.service_kind;
const ftpPort = 21;

/**
 * Tells programs of them, as to look for each kind costs every packet that opens a connection, or every frame of XDP. A kind is told
 * before packets are shown its first service, and as long as any is there. Services at destinations are two things with one address: a
 * destination counts from before it is shown until its place is free, in the trash as well, as connections still lead there.
 */
export class ServiceKinds {
  readonly #write: (kinds: number) => void;
  readonly #uses = new Map<number, number>();
  readonly #virtualAddresses = new Counter();
  readonly #destinationAddresses = new Counter();
  #written: number;
  /** Those of an earlier process, until all its services are known. */
  #inherited: number;

  constructor(inherited: number, write: (kinds: number) => void) {
    this.#write = write;
    this.#inherited = inherited;
    this.#written = inherited;
  }

  add(key: VirtualServiceKey): void {
    const kind = kindOf(key);
    if (kind !== undefined) this.#count(kind, 1);
    if (key.mark !== undefined || !this.#virtualAddresses.add(key.address)) return;
    if (this.#destinationAddresses.has(key.address)) this.#count(SERVICES_AT_DESTINATIONS, 1);
  }

  remove(key: VirtualServiceKey): void {
    const kind = kindOf(key);
    if (kind !== undefined) this.#count(kind, -1);
    if (key.mark !== undefined || !this.#virtualAddresses.remove(key.address)) return;
    if (this.#destinationAddresses.has(key.address)) this.#count(SERVICES_AT_DESTINATIONS, -1);
  }

  addDestination(address: Address): void {
    if (this.#destinationAddresses.add(address) && this.#virtualAddresses.has(address))
      this.#count(SERVICES_AT_DESTINATIONS, 1);
  }

  removeDestination(address: Address): void {
    if (this.#destinationAddresses.remove(address) && this.#virtualAddresses.has(address))
      this.#count(SERVICES_AT_DESTINATIONS, -1);
  }

  /** All services of an earlier process have been added. */
  forgetInherited(): void {
    this.#inherited = 0;
    this.#update();
  }

  #count(kind: number, change: number): void {
    this.#uses.set(kind, (this.#uses.get(kind) ?? 0) + change);
    this.#update();
  }

  #update(): void {
    let kinds = this.#inherited;
    for (const [kind, uses] of this.#uses) if (uses > 0) kinds |= kind;
    if (kinds === this.#written) return;
    this.#write(kinds);
    this.#written = kinds;
  }
}

/** How many have each address. */
class Counter {
  readonly #uses = new Map<Address, number>();

  has(address: Address): boolean {
    return this.#uses.has(address);
  }

  /** @returns whether it is the first */
  add(address: Address): boolean {
    const uses = this.#uses.get(address) ?? 0;
    this.#uses.set(address, uses + 1);
    return uses === 0;
  }

  /** @returns whether it was the last */
  remove(address: Address): boolean {
    const uses = this.#uses.get(address) ?? 0;
    if (uses > 1) this.#uses.set(address, uses - 1);
    else this.#uses.delete(address);
    return uses === 1;
  }
}

function kindOf(key: VirtualServiceKey): number | undefined {
  if (key.mark !== undefined) return SERVICES_OF_MARKS;
  if (key.port === 0) return SERVICES_OF_ALL_PORTS;
  return key.protocol === 'tcp' && key.port === ftpPort ? SERVICES_OF_FTP : undefined;
}
