// SPDX-License-Identifier: Apache-2.0
// bpvs config check: what BPVS would do with a kube-proxy configuration file.
import { Command } from 'commander';
import { type LoadedConfiguration, loadConfiguration } from '../../config/load.ts';
import { formatReport, reportFields } from '../../config/report.ts';
import { validateConfiguration } from '../../config/validate.ts';
import { InputError } from '../../errors.ts';
import { readConfiguration, usableSettings } from '../configuration.ts';
import { describeError } from '../exit-codes.ts';
import type { CommandOutput } from './common.ts';

export function configCommand(io: CommandOutput): Command {
  const check = new Command('check')
    .description(
      'say for each field that a KubeProxyConfiguration file sets whether BPVS honours, maps or ignores it, and why',
    )
    .argument('<file>', 'as of the flag --config')
    .addHelpText(
      'after',
      '\nExit codes: 0 BPVS starts with it (what lines "ignored" and "lenient" name has no effect), 1 it does not (lines "invalid"), 2 wrong usage, an unreadable file included.',
    )
    .action((file: string) => {
      process.exitCode = checkConfiguration(file, io);
    });
  return new Command('config')
    .description("look at kube-proxy's configuration as BPVS does")
    .addCommand(check.configureOutput({ writeOut: io.stdout, writeErr: io.stderr }).exitOverride());
}

/** Throws InputError for a file that cannot be read. @returns the exit code */
function checkConfiguration(file: string, io: CommandOutput): number {
  const text = readConfiguration(file);
  try {
    const loaded = loadConfiguration({ config: file }, () => text);
    for (const field of reportFields(loaded.set)) io.stdout(`${formatReport(field)}\n`);
    for (const problem of loaded.strictProblems) io.stdout(`lenient   ${problem} (it has no effect)\n`);
    const problems = problemsOf(loaded);
    for (const problem of problems) io.stdout(`invalid   ${problem}\n`);
    return problems.length === 0 ? 0 : 1;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    io.stdout(`invalid   ${describeError(error)}\n`);
    return 1;
  }
}

/** What keeps the daemon from starting with this configuration. */
function problemsOf(loaded: LoadedConfiguration): readonly string[] {
  const problems = validateConfiguration(loaded.config);
  if (problems.length > 0) return problems;
  usableSettings(loaded);
  return [];
}
