// SPDX-License-Identifier: Apache-2.0
// A BPF map: single elements, batches, and walks through all of them.
import { unlinkSync } from 'node:fs';
import { SystemError } from '../errors.ts';
import { addon, type NativeMap } from './addon.ts';
import { Descriptor } from './descriptor.ts';

/** Flags of update: BPF_ANY, BPF_NOEXIST, BPF_EXIST. */
export const updateFlags = { any: 0, noExist: 1, exist: 2 } as const;

/** Some elements, keys and values laid end to end. */
export interface MapChunk {
  readonly count: number;
  readonly keys: Buffer;
  readonly values: Buffer;
}

/** How much of a map one system call reads: enough to make the call cheap, little enough for memory and the event loop. */
const chunkBytes = 1 << 20;

/** The number of CPUs that a per-CPU map has values for. Throws SystemError. */
export function possibleCpus(): number {
  return addon.possibleCpus();
}

/**
 * An open map. All methods throw SystemError (EBADF after close). A wrong length of a key or value is a TypeError.
 * The value of a per-CPU map is one value a possible CPU, each rounded up to 8 bytes: `crossingSize` bytes altogether.
 */
export class BpfMap extends Descriptor<NativeMap> {
  readonly id: number;
  /** At most 15 characters: the kernel cuts longer names. */
  readonly name: string;
  readonly type: string;
  readonly keySize: number;
  readonly valueSize: number;
  /** The bytes of a value as read and written here. */
  readonly crossingSize: number;
  readonly maxEntries: number;
  readonly flags: number;

  /** Takes over a handle of the addon; elsewhere use openPinned and BpfObject.map. */
  constructor(native: NativeMap) {
    super(native);
    const info = native.info();
    this.id = info.id;
    this.name = info.name;
    this.type = info.type;
    this.keySize = info.keySize;
    this.valueSize = info.valueSize;
    this.crossingSize = info.crossingSize;
    this.maxEntries = info.maxEntries;
    this.flags = info.flags;
  }

  static openPinned(path: string): BpfMap {
    return new BpfMap(addon.openPinnedMap(path));
  }

  /** The descriptor, valid until close: the value of a map of maps. */
  get fd(): number {
    return this.native.fd;
  }

  lookup(key: Uint8Array): Buffer | undefined {
    return this.native.lookup(key);
  }

  update(key: Uint8Array, value: Uint8Array, flags: number = updateFlags.any): void {
    this.native.update(key, value, flags);
  }

  /** @returns whether the key was there. */
  delete(key: Uint8Array): boolean {
    return this.native.delete(key);
  }

  /** One crossing for `count` elements laid end to end. @returns how many the kernel took: all, or it throws. */
  updateBatch(keys: Uint8Array, values: Uint8Array, count: number, flags: number = updateFlags.any): number {
    return this.native.updateBatch(keys, values, count, flags);
  }

  /** Deletes in one crossing. @returns how many were deleted; fewer than `count` when it met a key that is not there. */
  deleteBatch(keys: Uint8Array, count: number): number {
    return this.native.deleteBatch(keys, count);
  }

  /** The key after `previous` in the kernel's order; without `previous` the first one. */
  nextKey(previous?: Uint8Array): Buffer | undefined {
    return this.native.nextKey(previous);
  }

  /**
   * All elements, about a megabyte at a time. Elements that change meanwhile may come old or new; those that stay come
   * exactly once from a hash map.
   */
  *chunks(): Generator<MapChunk> {
    try {
      yield* this.#batches();
    } catch (error) {
      if (!(error instanceof SystemError && isBatchMissing(error))) throw error;
      yield* this.#singles();
    }
  }

  /** All elements. The buffers share memory with those of their chunk. */
  *entries(): Generator<[key: Buffer, value: Buffer]> {
    const { keySize, crossingSize } = this;
    for (const { count, keys, values } of this.chunks()) {
      for (let i = 0; i < count; i++) {
        yield [
          keys.subarray(i * keySize, (i + 1) * keySize),
          values.subarray(i * crossingSize, (i + 1) * crossingSize),
        ];
      }
    }
  }

  *keys(): Generator<Buffer> {
    for (const [key] of this.entries()) yield key;
  }

  *#batches(): Generator<MapChunk> {
    let count = Math.min(this.maxEntries, Math.ceil(chunkBytes / (this.keySize + this.crossingSize)));
    let place: Buffer | undefined;
    do {
      const batch = this.#lookupBatch(place, count);
      if (batch === undefined) {
        count *= 2;
        continue;
      }
      place = batch.next;
      if (batch.count > 0) yield this.#trim(batch);
    } while (place !== undefined);
  }

  #trim({ count, keys, values }: MapChunk): MapChunk {
    return {
      count,
      keys: keys.subarray(0, count * this.keySize),
      values: values.subarray(0, count * this.crossingSize),
    };
  }

  /** Undefined when one bucket of the hash has more elements than were asked for. */
  #lookupBatch(place: Buffer | undefined, count: number): ReturnType<NativeMap['lookupBatch']> | undefined {
    try {
      return this.native.lookupBatch(place, count);
    } catch (error) {
      if (error instanceof SystemError && error.code === 'ENOSPC') return undefined;
      throw error;
    }
  }

  *#singles(): Generator<MapChunk> {
    for (let key = this.nextKey(); key !== undefined; key = this.nextKey(key)) {
      const values = this.lookup(key);
      if (values !== undefined) yield { count: 1, keys: key, values };
    }
  }
}

/** Older kernels know no batches for some map types. */
function isBatchMissing(error: SystemError): boolean {
  return ['EINVAL', 'ENOTSUPP', 'EOPNOTSUPP'].includes(error.code);
}

/** Removes a pin; what it held lives on while someone else holds it. Throws the error of node:fs. */
export function unpin(path: string): void {
  unlinkSync(path);
}
