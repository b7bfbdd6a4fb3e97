#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The command `bpvs`: the daemon and its tools.
import { basename } from 'node:path';
import process from 'node:process';
import { Command, CommanderError } from 'commander';
import packageDescription from '../../package.json' with { type: 'json' };
import { cleanupCommand } from './commands/cleanup.ts';
import { configCommand } from './commands/config.ts';
import { explainCommand } from './commands/explain.ts';
import { isProxyCommandLine, proxyCommand } from './commands/proxy.ts';
import { type CommandOutput, renderCommand } from './commands/render.ts';
import { runCommand } from './commands/run.ts';
import { statusCommand } from './commands/status.ts';
import { describeError, exitCodeOf, exitCodesHelp } from './exit-codes.ts';

export function program(io: CommandOutput): Command {
  const commands = [
    runCommand(io),
    proxyCommand(io),
    explainCommand(io),
    statusCommand(io),
    cleanupCommand(io),
  ];
  const command = new Command('bpvs')
    .description("BPF Virtual Server: kernel IPVS's decisions for Kubernetes Services, its packets in eBPF")
    .version(packageDescription.version)
    .addCommand(renderCommand(io))
    .addCommand(configCommand(io));
  for (const each of commands) command.addCommand(each);
  for (const each of [command, ...commands]) {
    each
      .addHelpText('after', exitCodesHelp)
      .configureOutput({ writeOut: io.stdout, writeErr: io.stderr })
      .exitOverride();
  }
  return command;
}

/** Carries one command line out; one without a command, but with flags, is kube-proxy's. @returns the exit code, see `exitCodesHelp` */
export async function main(words: readonly string[], io: CommandOutput): Promise<number> {
  try {
    const line = isProxyCommandLine(words) ? ['proxy', ...words] : words;
    await program(io).parseAsync(line, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (!(error instanceof CommanderError)) io.stderr(`bpvs: ${describeError(error)}\n`);
    return exitCodeOf(error);
  }
}

if (import.meta.main) {
  // A reader that has seen enough (`bpvs status | head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  const io: CommandOutput = {
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
  };
  const [, name = '', ...words] = process.argv;
  // Under the name of the program that it takes the place of, it is that program.
  process.exitCode = await main(basename(name) === 'kube-proxy' ? ['proxy', ...words] : words, io);
}
