// SPDX-License-Identifier: Apache-2.0
// The addresses whose host the data plane is: those of virtual services but for the node's own (bpf/lib/echo.h).
import {
  type Address,
  addressBytes,
  addressFamily,
  addressFromBytes,
  type Family,
} from '../../model/address.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import { layouts } from './layouts.ts';
import { decode, encode } from './struct.ts';

const present = new Uint8Array(4).fill(1);

/** Changes are collected; packets meet them after {@link update}. */
export class HostedAddresses {
  readonly #map: BpfMap;
  readonly #uses = new Map<Address, number>();
  readonly #written = new Set<Address>();
  readonly #changed = new Set<Address>();
  #own: ReadonlySet<Address> = new Set();

  constructor(map: BpfMap) {
    this.#map = map;
    for (const key of map.keys()) this.#written.add(decodeKey(key));
    for (const address of this.#written) this.#changed.add(address);
  }

  add(address: Address): void {
    this.#uses.set(address, (this.#uses.get(address) ?? 0) + 1);
    this.#changed.add(address);
  }

  remove(address: Address): void {
    const uses = (this.#uses.get(address) ?? 0) - 1;
    if (uses > 0) this.#uses.set(address, uses);
    else this.#uses.delete(address);
    this.#changed.add(address);
  }

  /** Those of the node: its stack is their host. */
  setOwn(addresses: readonly Address[]): void {
    for (const address of [...this.#own, ...addresses]) this.#changed.add(address);
    this.#own = new Set(addresses);
  }

  /** Throws SystemError. */
  update(): void {
    for (const address of this.#changed) {
      const isHosted = this.#uses.has(address) && !this.#own.has(address);
      if (isHosted !== this.#written.has(address)) this.#write(address, isHosted);
    }
    this.#changed.clear();
  }

  #write(address: Address, isHosted: boolean): void {
    if (isHosted) {
      this.#map.update(encodeKey(address), present);
      this.#written.add(address);
    } else {
      this.#map.delete(encodeKey(address));
      this.#written.delete(address);
    }
  }
}

function encodeKey(address: Address): Uint8Array {
  return encode(layouts.hosted_address, {
    address: addressBytes(address),
    family: addressFamily(address),
  });
}

function decodeKey(key: Uint8Array): Address {
  const { address, family } = decode(layouts.hosted_address, key);
  return addressFromBytes(family as Family, address);
}
