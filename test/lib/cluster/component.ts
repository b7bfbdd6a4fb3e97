// SPDX-License-Identifier: Apache-2.0
// One program of the control plane while it runs.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';

/** Its log is a file; it ends with the process that started it, whatever ends that. */
export class Component {
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly #name: string;

  /** @param run the words that run a program on its machine (`Host.command`) */
  constructor(
    name: string,
    logFile: string,
    argv: readonly string[],
    run: (argv: readonly string[]) => readonly string[],
  ) {
    const log = openSync(logFile, 'a');
    const [file = '', ...words] = run(['setpriv', '--pdeathsig', 'KILL', ...argv]);
    this.#child = spawn(file, words, { stdio: ['ignore', log, log] });
    this.#child.on('error', () => {}); // told by `hasEnded`
    closeSync(log);
    this.#name = name;
    this.#logFile = logFile;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.pid === 0 || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Its last words, for the message of a test that fails. */
  get lastWords(): string {
    const log = readFileSync(this.#logFile, 'utf8').trimEnd().split('\n').slice(-8).join('\n');
    return `${this.#name}: ${log}`;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Idempotent. */
  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.hasEnded) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
  }
}
