// SPDX-License-Identifier: Apache-2.0
// Which kinds of virtual services there are, of those that packets do not find by their own address and port.
import type { VirtualServiceKey } from '../../model/virtual-service.ts';
import { enums } from './layouts.ts';

const { SERVICES_OF_MARKS, SERVICES_OF_FTP, SERVICES_OF_ALL_PORTS } = enums.service_kind;
const ftpPort = 21;

/**
 * Tells programs of them, as to look for each kind costs every packet that opens a connection. A kind is there before
 * its first service is, and as long as any is.
 */
export class ServiceKinds {
  readonly #write: (kinds: number) => void;
  readonly #uses = new Map<number, number>();
  #written: number;
  /** Those of an earlier process, until all its services are known. */
  #inherited: number;

  constructor(inherited: number, write: (kinds: number) => void) {
    this.#write = write;
    this.#inherited = inherited;
    this.#written = inherited;
  }

  add(key: VirtualServiceKey): void {
    this.#count(key, 1);
  }

  remove(key: VirtualServiceKey): void {
    this.#count(key, -1);
  }

  /** All services of an earlier process have been added. */
  forgetInherited(): void {
    this.#inherited = 0;
    this.#update();
  }

  #count(key: VirtualServiceKey, change: number): void {
    const kind = kindOf(key);
    if (kind === undefined) return;
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

function kindOf(key: VirtualServiceKey): number | undefined {
  if (key.mark !== undefined) return SERVICES_OF_MARKS;
  if (key.port === 0) return SERVICES_OF_ALL_PORTS;
  return key.protocol === 'tcp' && key.port === ftpPort ? SERVICES_OF_FTP : undefined;
}
