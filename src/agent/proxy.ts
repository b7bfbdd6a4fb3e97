// SPDX-License-Identifier: Apache-2.0
// The daemon by a kube-proxy's configuration: the kernel's settings, the servers, the watch of the file.
import type { AgentSettings } from '../config/agent-settings.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { printConfiguration } from '../config/write.ts';
import { BpvsError } from '../errors.ts';
import type { ClusterSource } from '../kube/cluster-source.ts';
import { healthCheckAddresses } from '../plan/node-port-addresses.ts';
import type { CommandOutput } from './commands/common.ts';
import { watchConfiguration } from './configuration-watch.ts';
import type { DaemonOptions } from './daemon.ts';
import { applyKernelSettings, applyOomScore, kernelSettings } from './kernel-settings.ts';
import type { Log } from './log.ts';
import { serve } from './serve.ts';
import { Servers } from './servers.ts';
import type { SyncObserver } from './service-sync.ts';

/** What the command line and its file ask for. */
export interface ProxyRequest {
  readonly loaded: LoadedConfiguration;
  readonly settings: AgentSettings;
  /** The file, as it was read. */
  readonly file: { readonly path: string; readonly text: string } | undefined;
  /** Throws InputError for a file that the daemon could not start with. */
  readonly check: (text: string) => void;
}

/** Rejects with BpvsError when the file changes, with what Servers.open throws, and as `serve`. */
export async function runProxy(
  { loaded, settings, file, check }: ProxyRequest,
  options: DaemonOptions,
  log: Log,
  io: CommandOutput,
): Promise<void> {
  const failures = applyKernelSettings(kernelSettings(settings));
  for (const { setting, error } of failures)
    log('warning', 'kernel setting not made', { ...setting, reason: error.message });
  for (const { setting, error } of applyOomScore(settings.oomScoreAdjust))
    log('info', 'OOM score not set', { value: setting.value, reason: error.message });
  let source: Pick<ClusterSource, 'warn'> | undefined;
  await using servers = await Servers.open({
    settings,
    configuration: printConfiguration(loaded.config),
    log,
    healthCheckFailed: ({ service }, message) =>
      source?.warn(service, 'FailedToStartServiceHealthcheck', message, 'Listen'),
  });
  const { promise: changed, reject } = Promise.withResolvers<never>();
  changed.catch(() => {}); // whoever serves hears of it
  using _watch = file && watchConfiguration(file.path, file.text, (text) => changeSeen(text));
  const sourceOpened = (opened: typeof source) => {
    source = opened;
  };
  await serve({ ...options, observer: observer(servers), sourceOpened }, log, io, changed);

  /** Who could not start again with it goes on as before. */
  function changeSeen(text: string): void {
    try {
      check(text);
    } catch (error) {
      const reason = (error as Error).message;
      log('error', 'configuration changed to one that cannot be used, the one of the start stays', {
        reason,
      });
      return;
    }
    reject(
      new BpvsError(
        'BPVS_CONFIGURATION_CHANGED',
        `The configuration file ${file?.path} has changed: bpvs ends, to be started again with it`,
      ),
    );
  }
}

/** Each family's loop has started, which counts as its first sync. */
function observer(servers: Servers): SyncObserver {
  const { health, serviceHealth } = servers;
  const families = [4, 6] as const;
  for (const family of families) health.updated(family);
  return {
    queued: () => {
      for (const family of families) health.queued(family);
    },
    synced: (isComplete) => {
      if (isComplete) for (const family of families) health.updated(family);
    },
    planned: ({ healthChecks }, node, { addresses, cidrs }) => {
      servers.node = node;
      const listed = families.map(
        (family) => [family, healthCheckAddresses(addresses, family, cidrs)] as const,
      );
      void serviceHealth.set(healthChecks, new Map(listed)); // it tells of what fails by itself
    },
  };
}
