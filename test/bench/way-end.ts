// SPDX-License-Identifier: Apache-2.0
// Takes datagrams off at a pod's device and counts them, so that a way can be measured without the sockets behind it.
import type { BpfMap } from '../../src/native/bpf-map.ts';
import { unpin } from '../../src/native/bpf-map.ts';
import type { Pod } from '../lib/host.ts';
import { benchObject } from './fresh.ts';

const noKey = new Uint8Array(4);

/** end.bpf.c at the ingress of a pod's own device, for as long as the pod lives. */
export class WayEnd implements Disposable {
  readonly #datagrams: BpfMap;

  private constructor(datagrams: BpfMap) {
    this.#datagrams = datagrams;
  }

  /** @param pin where tc can find the program meanwhile */
  static async attach(pod: Pod, pin: string): Promise<WayEnd> {
    using object = benchObject('end');
    object.load();
    using program = object.program('end_of_way');
    program.pin(pin);
    try {
      await pod.mustRun(['tc', 'qdisc', 'add', 'dev', 'eth0', 'clsact']);
      const filter = ['bpf', 'direct-action', 'object-pinned', pin];
      await pod.mustRun(['tc', 'filter', 'add', 'dev', 'eth0', 'ingress', ...filter]);
    } finally {
      unpin(pin);
    }
    return new WayEnd(object.map('datagrams'));
  }

  /** How many datagrams have come so far, taken off or not. */
  count(): number {
    return Number(new BigUint64Array(this.#datagrams.lookup(noKey)?.slice().buffer ?? [])[0] ?? 0n);
  }

  [Symbol.dispose](): void {
    this.#datagrams.close();
  }
}
