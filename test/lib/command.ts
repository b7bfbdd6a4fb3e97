// SPDX-License-Identifier: Apache-2.0
// Running other programs: their output, their exit code, and an error that shows both.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  /** The exit code, or 128 plus the number of the signal that ended the program, as a shell says it. */
  readonly code: number;
}

export interface CommandOptions {
  /** Written to stdin, which is then closed. */
  readonly input?: string;
  /** Added to this process's environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The program is killed after this time; 60 s if not given. */
  readonly timeoutMs?: number;
}

/** Runs a program to its end. Rejects only if it cannot be started. */
export async function runCommand(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const [file = '', ...rest] = argv;
  const child = spawn(file, rest, {
    env: { ...process.env, ...options.environment },
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? 128 + (signal === 'SIGKILL' ? 9 : 15)));
  });
  child.stdin.on('error', () => {}); // a program that ends without reading its input is no fault of ours
  child.stdin.end(options.input ?? '');
  const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { stdout, stderr, code };
}

/** Runs a program and returns its stdout. Rejects with everything it said if the exit code is not 0. */
export async function mustRun(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { stdout, stderr, code } = await runCommand(argv, options);
  if (code === 0) return stdout;
  const input = options.input ? `\nstdin: ${options.input}` : '';
  throw new Error(
    `Expected exit code 0 from ${argv.join(' ')} but received ${code}\n${stderr}${stdout}${input}`,
  );
}
