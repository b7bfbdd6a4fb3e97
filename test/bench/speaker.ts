// SPDX-License-Identifier: Apache-2.0
// A child process that speaks in lines.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';

export class Speaker {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;
  #errors = '';

  constructor(argv: readonly string[]) {
    const [file = '', ...rest] = argv;
    this.child = spawn(file, rest);
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    this.#lines = createInterface({ input: this.child.stdout });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The next line. Rejects with what it said on stderr if it ends. */
  async line(): Promise<string> {
    const waiting = new AbortController();
    const { signal } = waiting;
    try {
      const ended = once(this.#lines, 'close', { signal }).then(() => undefined);
      const line = await Promise.race([once(this.#lines, 'line', { signal }), ended]);
      if (line === undefined) throw new Error(`Expected a line but received the end: ${this.#errors}`);
      return String(line[0]);
    } finally {
      waiting.abort();
    }
  }

  say(line: string): void {
    this.child.stdin.write(`${line}\n`);
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const closed = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await closed;
  }
}
