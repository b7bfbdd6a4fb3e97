// SPDX-License-Identifier: Apache-2.0
// Runs a program over packets made afresh, each another flow's, and says what one of them costs.
import { fileURLToPath } from 'node:url';
import { encode, type StructLayout } from '../../src/dataplane/bpf/struct.ts';
import type { BpfMap } from '../../src/native/bpf-map.ts';
import { type BpfObject, openObject } from '../../src/native/bpf-object.ts';
import type { BpfProgram } from '../../src/native/bpf-program.ts';
import { buildPacket, type Flags } from '../lib/packet.ts';

export type Family = 4 | 6;

/** Which packets are made; the flows are numbered, and the number gives client, port and service. */
export interface Traffic {
  readonly family: Family;
  readonly protocol: 'tcp' | 'udp';
  /** Of TCP: "S" opens, "A" goes on. */
  readonly flags: Flags;
  readonly direction: 'request' | 'reply';
  readonly firstFlow: number;
  readonly flows: number;
  /** Flows by chance instead of one after the other. */
  readonly isShuffled: boolean;
  /**
   * A client's ports are all over the range. In a row, as the kernel gives them to new connections with one service, its flows lie
   * in a row in the table too, and a comparison of numbers of services would be one of locality.
   */
  readonly hasScatteredPorts: boolean;
  readonly services: number;
  /** The first service's number. */
  readonly virtualBase: number;
  /** The first destination's, of two a service. */
  readonly destinationBase: number;
}

export interface Run {
  /** Of tc wall time, the making of the packet and the call included; of XDP as the kernel tells it, in whole nanoseconds. */
  readonly nsPerPacket: number;
  /** The last one, as the program left it. */
  readonly packet: Uint8Array;
}

/** Where the transport header has its checksum. */
const checksumOffset = { udp: 6, tcp: 16 } as const;
const headerChecksum = 14 + 10;
const noKey = new Uint8Array(4);
const zero: Readonly<Record<Family, string>> = { 4: '0.0.0.0', 6: '::' };

export function benchObject(name: string): BpfObject {
  return openObject(fileURLToPath(new URL(`../../build/bpf/${name}.bpf.o`, import.meta.url)));
}

/** What makes packets for one type of programs. */
interface Maker {
  readonly fresh: BpfProgram;
  readonly nothing: BpfProgram;
  readonly measured: BpfMap;
}

export class Fresh implements Disposable {
  readonly #makers: Readonly<Record<'tc' | 'xdp', Maker>>;
  readonly #traffic: BpfMap;
  readonly #layout: StructLayout;
  /** So that shuffled flows come in another order every time. */
  #sent = 0;

  constructor() {
    using object = benchObject('bench');
    object.load();
    const maker = (suffix: string): Maker => ({
      fresh: object.program(`fresh${suffix}`),
      nothing: object.program(`nothing${suffix}`),
      measured: object.map(`measured${suffix}`),
    });
    this.#makers = { tc: maker(''), xdp: maker('_xdp') };
    this.#traffic = object.map('traffic');
    const { size, fields } = object.layout('traffic');
    this.#layout = {
      size,
      fields: Object.fromEntries(fields.map((field) => [field.name, { ...field, kind: 'number' }])),
    };
  }

  /** Runs `program` over `count` packets. */
  run(program: BpfProgram, traffic: Traffic, count: number): Run {
    return this.#run(this.#makerFor(program), program, traffic, count);
  }

  /** What of the time of such a run is the making of packets. */
  runEmpty(program: BpfProgram, traffic: Traffic, count: number): Run {
    const maker = this.#makerFor(program);
    return this.#run(maker, maker.nothing, traffic, count);
  }

  #makerFor(program: BpfProgram): Maker {
    return this.#makers[program.type === 'xdp' ? 'xdp' : 'tc'];
  }

  #run({ fresh, measured }: Maker, program: BpfProgram, traffic: Traffic, count: number): Run {
    const data = buildPacket({
      source: zero[traffic.family],
      destination: zero[traffic.family],
      protocol: traffic.protocol,
      flags: traffic.flags,
    });
    this.#traffic.update(noKey, this.#state(traffic, data));
    measured.update(noKey, new Uint8Array(Uint32Array.of(program.fd).buffer));
    const start = process.hrtime.bigint();
    const result = fresh.testRun({ data, repeat: count });
    const elapsed = process.hrtime.bigint() - start;
    this.#sent = (this.#sent + count) >>> 0;
    // The call of XDP first makes the program the target of a direct jump, for milliseconds: nothing of a packet's.
    const nsPerPacket = program.type === 'xdp' ? result.durationNs : Number(elapsed) / count;
    return { nsPerPacket, packet: result.data };
  }

  close(): void {
    const makers = Object.values(this.#makers).flatMap((maker) => [
      maker.fresh,
      maker.nothing,
      maker.measured,
    ]);
    for (const part of [...makers, this.#traffic]) part.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #state(traffic: Traffic, data: Uint8Array): Uint8Array {
    const view = new DataView(data.buffer);
    const transport = 14 + (traffic.family === 4 ? 20 : 40);
    const sumAt = (offset: number) => ~view.getUint16(offset, true) & 0xffff;
    return encode(this.#layout, {
      sent: traffic.isShuffled ? this.#sent : 0,
      first_flow: traffic.firstFlow,
      flows: traffic.flows,
      services: traffic.services,
      virtual_base: traffic.virtualBase,
      destination_base: traffic.destinationBase,
      header_sum: traffic.family === 4 ? sumAt(headerChecksum) : 0,
      transport_sum: sumAt(transport + checksumOffset[traffic.protocol]),
      direction: traffic.direction === 'request' ? 0 : 1,
      is_shuffled: traffic.isShuffled ? 1 : 0,
      has_scattered_ports: traffic.hasScatteredPorts ? 1 : 0,
    });
  }
}
