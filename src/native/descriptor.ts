// SPDX-License-Identifier: Apache-2.0
// What every open map, program and link can do.
import type { NativeDescriptor } from './addon.ts';

/** Something of the kernel, held open by a handle of the addon. */
export abstract class Descriptor<Native extends NativeDescriptor> implements Disposable {
  /** The addon's handle, for the classes of this folder. */
  readonly native: Native;

  protected constructor(native: Native) {
    this.native = native;
  }

  /** Pins it in a BPF file system; the pin outlives the process. Throws SystemError: EEXIST, EPERM (no such file system). */
  pin(path: string): void {
    this.native.pin(path);
  }

  /** Frees the descriptor; a link that is not pinned detaches with that. Idempotent. */
  close(): void {
    this.native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
