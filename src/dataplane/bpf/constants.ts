// SPDX-License-Identifier: Apache-2.0
// Numbers that are written into the programs' instructions before they are loaded (bpf/lib/config.h).
import { release } from 'node:os';
import { LayoutError } from '../../errors.ts';
import { possibleCpus } from '../../native/bpf-map.ts';
import type { Substitute } from '../../native/bpf-object.ts';
import { tickNs } from '../../native/kernel.ts';
import { netnsCookie } from '../../native/namespace.ts';
import type { MapName } from './bpf-maps.ts';
import { enums } from './layouts.ts';
import type { BpfOptions } from './options.ts';

type ConstantName = keyof typeof enums.load_time_constant;

/**
 * Puts the constants in the places of their placeholders. The network namespace of the calling thread counts as the host's.
 * Throws SystemError; what it returns throws LayoutError for a placeholder that it does not know.
 * @param entriesOf entries of the maps that the programs are loaded over
 */
export function loadTimeConstants(
  options: BpfOptions,
  entriesOf: (map: MapName) => number,
  flowSeed: bigint,
): Substitute {
  const constants: Readonly<Record<ConstantName, bigint | number | boolean>> = {
    CONSTANT_HOST_NETNS_COOKIE: netnsCookie(),
    CONSTANT_MAX_CONNECTIONS: entriesOf('connections'),
    CONSTANT_MAX_HALF_OPEN: entriesOf('half_open'),
    CONSTANT_FLOW_BUCKETS: entriesOf('flows'),
    CONSTANT_FLOW_SEED: flowSeed,
    CONSTANT_POSSIBLE_CPUS: possibleCpus(),
    CONSTANT_TICK_NS: tickNs(),
    CONSTANT_TELLS_OFFLOAD: tellsOffload(release()),
    CONSTANT_LOCAL_REDIRECT: options.redirectsLocally ?? false,
    CONSTANT_HAS_VIRTUAL_CLOCK: options.hasVirtualClock,
  };
  const values = new Map(
    Object.entries(constants).map(([name, value]) => [
      enums.load_time_constant[name as ConstantName] as number,
      BigInt(value),
    ]),
  );
  return (immediate) => {
    if (immediate >> 32n !== BigInt(enums.placeholder.PLACEHOLDER_MARK)) return immediate;
    const value = values.get(Number(immediate & 0xffffffffn));
    if (value === undefined)
      throw new LayoutError(
        `Expected a known load-time constant but met ${immediate & 0xffffffffn}: npm run build`,
      );
    return value;
  };
}

/** Whether a kernel of this release has bpf_cast_to_kern_ctx, which came with Linux 6.2. */
export function tellsOffload(release: string): boolean {
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return Number(major) > 6 || (Number(major) === 6 && Number(minor) >= 2);
}
