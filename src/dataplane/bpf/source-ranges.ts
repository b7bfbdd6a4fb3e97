// SPDX-License-Identifier: Apache-2.0
// The networks of clients that a service is for (bpf/lib/view.h).
import { BpvsError, OperationError } from '../../errors.ts';
import { addressBytes, addressFromBytes } from '../../model/address.ts';
import { type Cidr, formatCidr } from '../../model/cidr.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import { layouts } from './layouts.ts';
import { decode, encode } from './struct.ts';

const present = new Uint8Array(4).fill(1);
const serviceBits = 32;

export class SourceRanges {
  readonly #map: BpfMap;
  /** By service id, then by the network's text: its key in the map. */
  readonly #written = new Map<number, Map<string, Uint8Array>>();

  constructor(map: BpfMap) {
    this.#map = map;
    for (const key of map.keys()) {
      const { prefix_length, service, address } = decode(layouts.source_range, key);
      const of = this.#of(service);
      of.set(textOf(prefix_length, address), Uint8Array.from(key));
    }
  }

  /** What an earlier process wrote for a service of this family, each network once. */
  adopted(service: number, family: 4 | 6): readonly Cidr[] {
    const keys = this.#written.get(service)?.values() ?? [];
    return Array.from(keys, (key) => {
      const { prefix_length, address } = decode(layouts.source_range, key);
      return { family, address: addressFromBytes(family, address), length: prefix_length - serviceBits };
    });
  }

  /** Lets these clients in besides those that are let in. Throws OperationError (ENOSPC). */
  add(service: number, ranges: readonly Cidr[]): void {
    const written = this.#of(service);
    for (const range of ranges) {
      const key = keyOf(service, range);
      const text = textOf(serviceBits + range.length, addressBytes(range.address));
      if (written.has(text)) continue;
      try {
        this.#map.update(key, present);
      } catch (error) {
        if (!(error instanceof BpvsError) || error.code !== 'ENOSPC') throw error;
        throw new OperationError(
          'ENOSPC',
          `The map source_ranges is full with ${this.#map.maxEntries} networks: no room for ${formatCidr(range)}`,
          { cause: error },
        );
      }
      written.set(text, key);
    }
  }

  /** Forgets all others of the service. */
  keepOnly(service: number, ranges: readonly Cidr[]): void {
    const written = this.#written.get(service);
    if (!written) return;
    const wanted = new Set(
      ranges.map((range) => textOf(serviceBits + range.length, addressBytes(range.address))),
    );
    for (const [text, key] of written) {
      if (wanted.has(text)) continue;
      this.#map.delete(key);
      written.delete(text);
    }
    if (written.size === 0) this.#written.delete(service);
  }

  /** Forgets what an earlier process left of services that are gone, or whose entry does not ask for it. */
  forgetOthers(services: ReadonlySet<number>): void {
    for (const service of [...this.#written.keys()]) if (!services.has(service)) this.keepOnly(service, []);
  }

  #of(service: number): Map<string, Uint8Array> {
    const present = this.#written.get(service);
    if (present) return present;
    const made = new Map<string, Uint8Array>();
    this.#written.set(service, made);
    return made;
  }
}

function keyOf(service: number, range: Cidr): Uint8Array {
  return encode(layouts.source_range, {
    prefix_length: serviceBits + range.length,
    service,
    address: addressBytes(range.address),
  });
}

function textOf(prefixLength: number, address: Uint8Array): string {
  return `${Buffer.from(address).toString('hex')}/${prefixLength}`;
}
