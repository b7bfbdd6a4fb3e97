// SPDX-License-Identifier: Apache-2.0
// A command line and the file that it names to one configuration: what beats what, as with kube-proxy 1.36.
import { InputError } from '../errors.ts';
import { withDefaultPort } from './addresses.ts';
import type { FlagValues } from './command-line.ts';
import { decodeConfiguration } from './decode.ts';
import type { FieldPath, KindValues, KubeProxyConfiguration, Mode, SetFields } from './fields.ts';
import { type FlagName, flagNames, flagOf } from './flags.ts';
import { seconds } from './go-duration.ts';
import { activeSection, settled, withDefaults } from './kube-proxy-configuration.ts';

export interface LoadedConfiguration {
  /** Complete; whether it is valid is not looked at. */
  readonly config: KubeProxyConfiguration;
  /** What somebody set, in the file or by flags that count. */
  readonly set: SetFields;
  /** What a strict reader does not allow of the file. */
  readonly strictProblems: readonly string[];
  /** Flags without effect beside a file. */
  readonly ignoredFlags: readonly FlagName[];
}

/** Flags about the run, which name no field. */
const ownFlags: ReadonlySet<FlagName> = new Set([
  'config',
  'hostname-override',
  'master',
  'write-config-to',
  'init-only',
  'cleanup',
  'boot-id-file',
  'machine-id-file',
]);

/**
 * A file beats flags, but for the node's name and logging. `readText` reads the file that --config names.
 * Throws InputError: an unusable file, a blank --hostname-override.
 */
export function loadConfiguration(
  values: FlagValues,
  readText: (path: string) => string,
): LoadedConfiguration {
  const { config: path } = values;
  const loaded = path ? fromFile(path, readText(path), values) : fromFlags(values);
  const override = values['hostname-override'];
  if (override === undefined || override === '') return loaded;
  const hostnameOverride = override.trim().toLowerCase();
  if (hostnameOverride === '')
    throw new InputError('Expected a name for --hostname-override but received blanks');
  const { config, set } = loaded;
  return { ...loaded, config: { ...config, hostnameOverride }, set: { ...set, hostnameOverride } };
}

function fromFile(path: string, text: string, values: FlagValues): LoadedConfiguration {
  const { set: ofFile, strictProblems } = decodeConfiguration(text, path);
  const loggingFlags = fieldsOfFlags(values, (name) => flagOf(name).beatsFile === true);
  const { vmodule } = values;
  const set: SetFields = {
    ...ofFile,
    ...loggingFlags,
    ...(vmodule && { 'logging.vmodule': [...vmodule, ...(ofFile['logging.vmodule'] ?? [])] }),
  };
  const given = flagNames.filter((name) => values[name] !== undefined);
  return {
    config: settled({
      ...withDefaults(set),
      ...loggingFlags,
      'logging.vmodule': set['logging.vmodule'] ?? [],
    }),
    set,
    strictProblems,
    ignoredFlags: given.filter((name) => !ownFlags.has(name) && !flagOf(name).beatsFile),
  };
}

function fromFlags(values: FlagValues): LoadedConfiguration {
  const direct = fieldsOfFlags(values, () => true);
  const set: SetFields = { ...direct, ...modeFields(values, activeSection({ mode: direct.mode ?? '' })) };
  // The defaults are those of mode iptables, whatever --proxy-mode says.
  const config = { ...withDefaults({}), 'ipvs.minSyncPeriod': seconds(1), ...set };
  const addresses = values['write-config-to']
    ? {}
    : {
        healthzBindAddress: withPort(config.healthzBindAddress, values['healthz-port'] ?? 10256),
        metricsBindAddress: withPort(config.metricsBindAddress, values['metrics-port'] ?? 10249),
      };
  return { config: settled({ ...config, ...addresses }), set, strictProblems: [], ignoredFlags: [] };
}

/** Port 0 means no server. */
function withPort(address: string, port: number): string {
  return port === 0 ? '' : withDefaultPort(address, port);
}

function fieldsOfFlags(values: FlagValues, counts: (name: FlagName) => boolean): SetFields {
  const set: Partial<Record<FieldPath, KindValues[keyof KindValues]>> = {};
  for (const name of flagNames) {
    const { field } = flagOf(name);
    const value = values[name];
    if (field !== undefined && value !== undefined && counts(name)) set[field] = value;
  }
  return set as SetFields;
}

/** Flags that set a field of the mode's section. */
function modeFields(values: FlagValues, section: Mode): SetFields {
  const isIpvs = section === 'ipvs';
  const period = values[isIpvs ? 'ipvs-sync-period' : 'iptables-sync-period'];
  const least = values[isIpvs ? 'ipvs-min-sync-period' : 'iptables-min-sync-period'];
  const all = values['masquerade-all'];
  return {
    ...(period !== undefined && { [`${section}.syncPeriod`]: period }),
    ...(least !== undefined && { [`${section}.minSyncPeriod`]: least }),
    ...(all !== undefined && { [`${section === 'nftables' ? 'nftables' : 'iptables'}.masqueradeAll`]: all }),
  };
}
