// SPDX-License-Identifier: Apache-2.0
// Requests without an end, each by a connection of its own, and what came of them.
import assert from 'node:assert/strict';
import type { ClientName, ClusterLab, Place } from './cluster-lab.ts';

const requestsAtOnce = 20;

/** Goes on until it is stopped. */
export class RequestStream implements AsyncDisposable {
  readonly #lab: ClusterLab;
  readonly #title: string;
  readonly #outcomes: Record<string, number> = {};
  readonly #ended: Promise<void>;
  #isStopped = false;

  constructor(lab: ClusterLab, from: ClientName, place: Place) {
    this.#lab = lab;
    this.#title = `${from} to ${place.address}:${place.port}`;
    this.#ended = this.#run(from, place);
    this.#ended.catch(() => {}); // whoever stops it hears of it
  }

  /** Asserts that until now these have answered, and nobody else, and that nothing has failed. */
  assertAnsweredBy(servers: readonly string[]): void {
    const others = Object.entries(this.#outcomes).filter(([name]) => !servers.includes(name));
    assert.deepEqual(others, [], this.#title);
    assert.ok(Object.keys(this.#outcomes).length > 0, this.#title);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ended;
  }

  async #run(from: ClientName, place: Place): Promise<void> {
    while (!this.#isStopped) {
      for (const [name, count] of Object.entries(await this.#lab.answers(from, place, requestsAtOnce)))
        this.#outcomes[name] = (this.#outcomes[name] ?? 0) + count;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {}); // whoever needed it has stopped it
  }
}
