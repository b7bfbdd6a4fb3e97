// SPDX-License-Identifier: Apache-2.0
// SCTP servers and clients on machines of the lab, over a stack in user space: the kernel may have none.
import { type ChildProcessWithoutNullStreams, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { mustRun } from '../command.ts';
import type { Host } from '../host.ts';

const source = fileURLToPath(new URL('sctp.c', import.meta.url));

/** What this machine lacks for SCTP ends, undefined if nothing. */
export function missingForSctp(): string | undefined {
  return existsSync('/usr/include/usrsctp.h')
    ? undefined
    : 'SCTP ends need libusrsctp (Debian package libusrsctp-dev)';
}

/** The same for sockets of the kernel; looking for them loads its module. */
export function missingForKernelSctp(): string | undefined {
  const program = 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)';
  return spawnSync('python3', ['-c', program]).status === 0 ? undefined : 'this kernel has no SCTP sockets';
}

/** Compiles the program of both ends into a folder. @returns its path */
export async function compileSctp(folder: string): Promise<string> {
  const program = `${folder}/sctp`;
  const flags = ['-O2', '-Wall', '-Wextra', '-Werror', '-pthread'];
  await mustRun(['clang-19', ...flags, '-o', program, source, '-lusrsctp']);
  return program;
}

/** A process that runs until it is closed; the kernel then forgets its sockets, its peers are told nothing. */
export class SctpEnd implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #closed: Promise<unknown>;
  #said = '';

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#closed = once(child, 'close');
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stdin.on('error', () => {}); // that it ended is said by the missing answer
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      this.#said += chunk;
    });
  }

  /** Echoes on a port, in both families; its name is the machine's. */
  static startServer(host: Host, program: string, port: number): Promise<SctpEnd> {
    return SctpEnd.#start(host, [program, 'server', host.name, String(port)]);
  }

  /** @param retryMs after which silence it sends its INIT once more; soon if not given */
  static startClient(host: Host, program: string, retryMs?: number): Promise<SctpEnd> {
    const more = retryMs === undefined ? [] : [String(retryMs)];
    return SctpEnd.#start(host, [program, 'client', ...more]);
  }

  static async #start(host: Host, argv: readonly string[]): Promise<SctpEnd> {
    const end = new SctpEnd(host.spawn(argv));
    await end.#line();
    return end;
  }

  /** Has a client do something, in the words of sctp.c. @returns its answer */
  async say(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    return this.#line();
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`Expected a line of an SCTP end but it ended: ${this.#said}`);
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#closed;
  }
}
