// SPDX-License-Identifier: Apache-2.0
// Programs that were loaded together: one set for devices with an Ethernet header and everything else, one for devices without.
import type { Direction } from '../../native/bpf-link.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import type { BpfObject } from '../../native/bpf-object.ts';
import type { BpfProgram } from '../../native/bpf-program.ts';
import { enums } from './layouts.ts';
import { word } from './words.ts';

/** They are there only with `local.bpf.c`. */
const localHandlers = /^HANDLER_(STRAIGHT|REPLY)\d$/;

/** Closing it closes the objects. */
export class ProgramSet implements Disposable {
  readonly #objects: readonly BpfObject[];
  readonly #programs: ReadonlyMap<string, BpfProgram>;

  constructor(objects: readonly BpfObject[]) {
    this.#objects = objects;
    this.#programs = new Map(
      objects.flatMap((object) => object.programs().map(({ name }) => [name, object.program(name)] as const)),
    );
  }

  program(name: string): BpfProgram {
    const program = this.#programs.get(name);
    if (!program) throw new RangeError(`Expected the name of a program but received ${name}`);
    return program;
  }

  /** The program for the devices that clients and destinations use. */
  deviceProgram(direction: Direction): BpfProgram {
    return (
      (direction === 'ingress' && this.#programs.get('local_ingress')) || this.program(`tc_${direction}`)
    );
  }

  /**
   * Fills the slots of a map of handlers. Those of an earlier process are replaced one by one, each at once. Those of an object that
   * is not loaded stay: the hook of an earlier process leads there until it is replaced.
   */
  fillHandlers(handlers: BpfMap): void {
    for (const [name, slot] of Object.entries(enums.handler)) {
      if (name === 'HANDLER_COUNT') continue;
      if (localHandlers.test(name) && !this.#programs.has('local_ingress')) continue;
      const program = this.program(name.toLowerCase().replace('handler_', 'handle_'));
      handlers.update(word(slot), word(program.fd));
    }
  }

  close(): void {
    for (const program of this.#programs.values()) program.close();
    for (const object of this.#objects) object.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
