// SPDX-License-Identifier: Apache-2.0
// bpvs proxy, and bpvs without a command: kube-proxy's command line, for a cluster's API server.
import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import type { AgentSettings } from '../../config/agent-settings.ts';
import { type FlagValues, parseCommandLine } from '../../config/command-line.ts';
import { type FlagName, flagNames, flagOf } from '../../config/flags.ts';
import { type LoadedConfiguration, loadConfiguration } from '../../config/load.ts';
import { reportFields } from '../../config/report.ts';
import { writeYaml } from '../../config/write.ts';
import { EnvironmentError, InputError } from '../../errors.ts';
import { readConfiguration, usableSettings } from '../configuration.ts';
import type { DaemonOptions } from '../daemon.ts';
import { applyKernelSettings, isTolerable, kernelSettings } from '../kernel-settings.ts';
import { createLog, type Log } from '../log.ts';
import type { ProxyRequest } from '../proxy.ts';
import { cleanUp } from './cleanup.ts';
import type { CommandOutput } from './common.ts';
import { addNodeOptions, type NodeOptionValues, nodeOptions } from './node-options.ts';

interface ProxyOptions extends NodeOptionValues {
  readonly manifests?: string;
}

export function proxyCommand(io: CommandOutput): Command {
  const command = new Command('proxy')
    .description(
      "serve Services on this node by kube-proxy's command line and configuration (also without the word proxy)",
    )
    .argument('[flags...]', "kube-proxy's flags, see below")
    .allowUnknownOption()
    .addHelpText('after', `\nFlags of kube-proxy:\n${flagNames.map(describeFlag).join('\n')}`)
    .option(
      '--manifests <dir>',
      'serve a folder of Service, EndpointSlice and Node manifests in place of a cluster',
    );
  addNodeOptions(command);
  return command.action((words: readonly string[], options: ProxyOptions) => proxy(words, options, io));
}

/** Whether a command line of bpvs is one of kube-proxy's: it has no command's name, but flags. */
export function isProxyCommandLine(words: readonly string[]): boolean {
  const [first = ''] = words;
  return first.startsWith('-') && !['-h', '--help', '--version'].includes(first);
}

async function proxy(words: readonly string[], options: NodeOptionValues, io: CommandOutput): Promise<void> {
  const { values, rest } = parseCommandLine(words);
  const unknown = rest.find((word) => word !== '--');
  if (unknown !== undefined)
    throw new InputError(`Expected flags of kube-proxy or options of bpvs proxy but received "${unknown}"`);
  const log = createLog(io.stderr);
  const request = readRequest(values);
  tellAbout(request.loaded, log);
  const writeTo = values['write-config-to'];
  if (writeTo) {
    writeConfiguration(writeTo, request.loaded);
    log('info', 'configuration written', { file: writeTo });
  } else if (values.cleanup) await cleanUp({ ...options, kubeProxy: true }, io);
  else if (values['init-only']) initialize(request.settings, log);
  else {
    const { runProxy } = await import('../proxy.ts');
    await runProxy(request, daemonOptions(request.settings, options), log, io);
  }
}

/** Throws InputError: nothing of the node has been touched by then. */
function readRequest(values: FlagValues): ProxyRequest {
  const path = values.config;
  const text = path ? readConfiguration(path) : undefined;
  const load = (content: string) => {
    const loaded = loadConfiguration(values, () => content);
    return { loaded, settings: usableSettings(loaded, values.master) };
  };
  const file = path && text !== undefined ? { path, text } : undefined;
  return { ...load(text ?? ''), file, check: load };
}

function daemonOptions(settings: AgentSettings, options: ProxyOptions): DaemonOptions {
  const { nodeName, scheduler, timeouts, api } = settings;
  const { manifests } = options;
  return {
    ...nodeOptions(options, timeouts),
    cluster:
      manifests === undefined ? { api: { kubeconfig: api.kubeconfig, master: api.server } } : { manifests },
    node: nodeName,
    scheduler,
    planning: settings,
    syncPeriods: { minMs: settings.minSyncPeriodMs, maxMs: settings.syncPeriodMs },
  };
}

/** Once at the start, what of the configuration has no effect. */
function tellAbout({ set, strictProblems, ignoredFlags }: LoadedConfiguration, log: Log): void {
  for (const problem of strictProblems) log('warning', 'configuration read leniently', { problem });
  for (const flag of ignoredFlags)
    log('warning', 'flag without effect beside --config', { flag: `--${flag}` });
  for (const { path, value, use, note = '' } of reportFields(set)) {
    if (use === 'ignored')
      log('warning', 'configuration field without effect', { field: path, value, reason: note });
  }
}

function writeConfiguration(path: string, { config }: LoadedConfiguration): void {
  try {
    writeFileSync(path, writeYaml(config));
  } catch (error) {
    const { message } = error as Error;
    throw new InputError(
      `Expected a writable file for --write-config-to but received "${path}": ${message}`,
      {
        cause: error,
      },
    );
  }
}

/** What needs rights that the daemon has no need of. Throws EnvironmentError. */
function initialize(settings: AgentSettings, log: Log): void {
  const failures = applyKernelSettings(kernelSettings(settings));
  for (const { setting, error } of failures.filter(isTolerable))
    log('warning', 'kernel setting not made', { ...setting, reason: error.message });
  const failure = failures.find((each) => !isTolerable(each));
  if (!failure) return;
  const { path, value } = failure.setting;
  throw new EnvironmentError(`Expected to be able to set ${path} to ${value}: ${failure.error.message}`, {
    cause: failure.error,
  });
}

function describeFlag(name: FlagName): string {
  const { field, help, shorthand } = flagOf(name);
  const words = shorthand === name ? `-${name}` : `--${name}`;
  return `  ${words.padEnd(36)}${help ?? `sets ${field}`}`;
}
