// SPDX-License-Identifier: Apache-2.0
// The map `settings`: what of the options programs read at every packet.
import type { VersionProfile } from '../../model/schedulers/scheduler.ts';
import type { Timeouts } from '../../model/timeouts.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import { onlyKey } from './bpf-maps.ts';
import type { BpfPrograms } from './bpf-programs.ts';
import type { Settings } from './codec.ts';
import { enums, layouts } from './layouts.ts';
import {
  type BpfOptions,
  defaultCacheSeconds,
  defaultTimeouts,
  type EntryState,
  secondsByState,
} from './options.ts';
import { decode, encode } from './struct.ts';

const profileNumbers: Readonly<Record<VersionProfile, number>> = {
  recent: enums.ipvs_profile.IPVS_PROFILE_RECENT,
  classic: enums.ipvs_profile.IPVS_PROFILE_CLASSIC,
};

function secondsNs(seconds: number): bigint {
  return BigInt(seconds) * 1_000_000_000n;
}

/** Timeouts that are not asked for stay as they were in adopted maps: somebody may have set them (`ipvsadm --set`). */
export function writeSettings(programs: BpfPrograms, options: BpfOptions): void {
  const map = programs.maps.get('settings');
  const adopted = programs.isAdopted ? map.lookup(onlyKey) : undefined;
  const before = adopted ? readTimeouts(decode(layouts.settings, adopted)) : defaultTimeouts;
  const { tcpSeconds, tcpFinSeconds, udpSeconds } = options.timeouts;
  const seconds = secondsByState({
    tcpSeconds: tcpSeconds ?? before.tcpSeconds,
    tcpFinSeconds: tcpFinSeconds ?? before.tcpFinSeconds,
    udpSeconds: udpSeconds ?? before.udpSeconds,
  });
  const timeouts = Object.entries(enums.connection_state)
    .filter(([name]) => Object.hasOwn(seconds, name.replace('STATE_', '')))
    .sort(([, a], [, b]) => a - b)
    .map(([name]) => secondsNs(seconds[name.replace('STATE_', '') as EntryState]));
  map.update(
    onlyKey,
    encode(layouts.settings, {
      timeouts,
      abi_version: BigInt(enums.abi_version.ABI_VERSION),
      flow_seed: programs.flowSeed,
      expire_nodest_conn: options.expireNodestConn ? 1 : 0,
      conn_reuse_mode: options.connReuseMode,
      secure_tcp: options.secureTcp ? 1 : 0,
      ipvs_profile: profileNumbers[options.ipvsProfile ?? 'recent'],
      lblc_expiration: secondsNs(options.lblcExpirationSeconds ?? defaultCacheSeconds),
      lblcr_expiration: secondsNs(options.lblcrExpirationSeconds ?? defaultCacheSeconds),
      expire_quiescent_template: options.expireQuiescentTemplate ? 1 : 0,
      sloppy_tcp: options.sloppyTcp ? 1 : 0,
      sloppy_sctp: options.sloppySctp ? 1 : 0,
      service_kinds: readServiceKinds(map),
    }),
  );
}

/** Bits of enum service_kind: not an option, but what there is. */
export function readServiceKinds(settings: BpfMap): number {
  const value = settings.lookup(onlyKey);
  return value ? decode(layouts.settings, value).service_kinds : 0;
}

export function readTimeouts({ timeouts }: Settings): Timeouts {
  const seconds = (state: number) => Number((timeouts[state] ?? 0n) / 1_000_000_000n);
  const { STATE_ESTABLISHED, STATE_FIN_WAIT, STATE_UDP } = enums.connection_state;
  return {
    tcpSeconds: seconds(STATE_ESTABLISHED),
    tcpFinSeconds: seconds(STATE_FIN_WAIT),
    udpSeconds: seconds(STATE_UDP),
  };
}
