// SPDX-License-Identifier: Apache-2.0
// Threads that send the same packets to pinned programs at the same time, each on a CPU of its own where there are as many.
import { once } from 'node:events';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { BpfProgram } from '../../src/native/bpf-program.ts';
import { Fresh, type Traffic } from '../bench/fresh.ts';

interface Task {
  readonly pin: string;
  /** How many threads have come to the start, of all races so far. */
  readonly arrivals: Int32Array<SharedArrayBuffer>;
  readonly threads: number;
}

/** Whoever starts them ends them. */
export class Racers {
  readonly #workers: readonly Worker[];

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
  }

  /** A thread for each pin. */
  static async start(pins: readonly string[]): Promise<Racers> {
    const arrivals = new Int32Array(new SharedArrayBuffer(4));
    const workers = pins.map((pin) => {
      const workerData: Task = { pin, arrivals, threads: pins.length };
      return new Worker(new URL(import.meta.url), { workerData });
    });
    const racers = new Racers(workers);
    try {
      await Promise.all(workers.map((worker) => once(worker, 'message')));
      return racers;
    } catch (error) {
      await racers.end();
      throw error;
    }
  }

  /** Resolves when each has sent a packet of every flow, all in the same order. */
  async run(traffic: Traffic): Promise<void> {
    const ends = this.#workers.map((worker) => once(worker, 'message'));
    for (const worker of this.#workers) worker.postMessage(traffic);
    await Promise.all(ends);
  }

  async end(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

function race({ pin, arrivals, threads }: Task): void {
  const program = BpfProgram.openPinned(pin);
  const fresh = new Fresh();
  let races = 0;
  parentPort?.on('message', (traffic: Traffic) => {
    races += 1;
    Atomics.add(arrivals, 0, 1);
    while (Atomics.load(arrivals, 0) < races * threads);
    fresh.run(program, traffic, traffic.flows);
    parentPort?.postMessage('ran');
  });
  parentPort?.postMessage('ready');
}

if (workerData) race(workerData as Task);
