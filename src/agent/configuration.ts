// SPDX-License-Identifier: Apache-2.0
// A configuration file read from disk, and a configuration judged by what this build can do.
import { readFileSync } from 'node:fs';
import { type AgentSettings, agentSettings } from '../config/agent-settings.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { validateConfiguration } from '../config/validate.ts';
import { isKnownScheduler } from '../dataplane/bpf/schedulers.ts';
import { InputError } from '../errors.ts';

/** Throws InputError. */
export function readConfiguration(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { message } = error as Error;
    throw new InputError(`Expected a readable configuration file but received "${path}": ${message}`, {
      cause: error,
    });
  }
}

/**
 * `server` is --master. Throws InputError for a configuration that kube-proxy would refuse, in its words, and for a scheduler that the
 * data plane has not.
 */
export function usableSettings({ config }: LoadedConfiguration, server?: string): AgentSettings {
  const problems = validateConfiguration(config);
  if (problems.length > 0) throw new InputError(`Expected a valid configuration but: ${problems.join(', ')}`);
  const settings = agentSettings(config, server);
  if (isKnownScheduler(settings.scheduler)) return settings;
  throw new InputError(
    `Expected a scheduler that BPVS has for ipvs.scheduler but received "${settings.scheduler}"`,
  );
}
