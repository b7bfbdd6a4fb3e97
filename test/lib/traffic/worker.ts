// SPDX-License-Identifier: Apache-2.0
// A Node process inside a machine of the lab that speaks in lines on stdin and stdout.
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Host } from '../host.ts';

export class Worker {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #closed: Promise<unknown>;
  #said = '';

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#closed = once(child, 'close');
    child.stdin.on('error', () => {}); // the end of the process is reported by onEnd
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      this.#said += chunk;
    });
  }

  /**
   * Starts `script` with `argument` on `host`; resolves once it has printed its first line, "ready". Later lines go to
   * `onLine`; `onEnd` learns of the end, with what the process said on stderr. Rejects if it ends before it is ready.
   */
  static async start(
    host: Host,
    script: string,
    argument: string,
    onLine: (line: string) => void = () => {},
    onEnd: (error: Error) => void = () => {},
  ): Promise<Worker> {
    const worker = new Worker(host.spawn([process.execPath, `${import.meta.dirname}/${script}`, argument]));
    const lines = createInterface({ input: worker.#child.stdout });
    const ready = once(lines, 'line');
    const ended = worker.#closed.then(() => {
      throw new Error(`Expected ${script} on ${host.name} to run but it ended: ${worker.#said}`);
    });
    await Promise.race([ready, ended]);
    ended.catch(onEnd);
    lines.on('line', onLine);
    return worker;
  }

  send(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** Kills the process; the kernel closes its sockets. Idempotent. */
  async close(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#closed;
  }
}
