// SPDX-License-Identifier: Apache-2.0
// Whoever makes and changes a cluster's objects, beside its API server.
import { fileURLToPath } from 'node:url';
import { Speaker } from '../bench/speaker.ts';
import type { Host } from '../lib/host.ts';
import type { Population } from './objects.ts';

export type OperatorRequest =
  /** The Services from one number to before another. */
  | { readonly do: 'populate'; readonly from: number; readonly to: number; readonly endpointsEach: number }
  | { readonly do: 'change'; readonly service: number; readonly isReady: boolean }
  | { readonly do: 'fetch'; readonly url: string };

export interface OperatorAnswer {
  readonly text?: string;
  readonly sentMs?: number;
  readonly answeredMs?: number;
  readonly error?: string;
}

/** When a request for a change was sent, and when it was answered: {@link clockMs}. */
export interface Change {
  readonly sentMs: number;
  readonly answeredMs: number;
}

const program = fileURLToPath(new URL('./operator-process.ts', import.meta.url));

/** Milliseconds of a clock that all processes of a machine share. */
export function clockMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** One request at a time. */
export class Operator implements AsyncDisposable {
  readonly #speaker: Speaker;

  private constructor(speaker: Speaker) {
    this.#speaker = speaker;
  }

  /** @param kubeconfig an administrator's */
  static async start(host: Host, kubeconfig: string): Promise<Operator> {
    const speaker = new Speaker(host.command([process.execPath, program, kubeconfig]));
    await speaker.line();
    return new Operator(speaker);
  }

  /** @param from the Services before are there */
  async populate(from: number, { services, endpointsEach }: Population): Promise<void> {
    await this.#ask({ do: 'populate', from, to: services, endpointsEach });
  }

  /** Makes the first endpoint of a Service ready, or not. Resolves when the API server has answered. */
  async change(service: number, isReady: boolean): Promise<Change> {
    const { sentMs = Number.NaN, answeredMs = Number.NaN } = await this.#ask({
      do: 'change',
      service,
      isReady,
    });
    return { sentMs, answeredMs };
  }

  /** What a page says; rejects while nobody answers. */
  async fetch(url: string): Promise<string> {
    return (await this.#ask({ do: 'fetch', url })).text ?? '';
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#speaker.end();
  }

  async #ask(request: OperatorRequest): Promise<OperatorAnswer> {
    const line = this.#speaker.line();
    this.#speaker.say(JSON.stringify(request));
    const answer: OperatorAnswer = JSON.parse(await line);
    if (answer.error === undefined) return answer;
    throw new Error(`Expected the operator to ${request.do} but: ${answer.error}`);
  }
}
