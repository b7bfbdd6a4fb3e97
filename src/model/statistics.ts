// SPDX-License-Identifier: Apache-2.0
// The five counters that ipvsadm --stats shows, and their rates.

/**
 * Counts since the service was added. Bytes are those of whole IP packets, link header excluded
 * (net/netfilter/ipvs/ip_vs_core.c: ip_vs_in_stats, ip_vs_out_stats).
 */
export interface Statistics {
  readonly connections: bigint;
  readonly inPackets: bigint;
  readonly outPackets: bigint;
  readonly inBytes: bigint;
  readonly outBytes: bigint;
}

export const noStatistics: Statistics = {
  connections: 0n,
  inPackets: 0n,
  outPackets: 0n,
  inBytes: 0n,
  outBytes: 0n,
};

export function subtractStatistics(a: Statistics, b: Statistics): Statistics {
  return {
    connections: a.connections - b.connections,
    inPackets: a.inPackets - b.inPackets,
    outPackets: a.outPackets - b.outPackets,
    inBytes: a.inBytes - b.inBytes,
    outBytes: a.outBytes - b.outBytes,
  };
}

/** Per second, as the kernel's estimator shows them: whole numbers, bytes per second for the byte rates. */
export interface Rates {
  readonly connections: bigint;
  readonly inPackets: bigint;
  readonly outPackets: bigint;
  readonly inBytes: bigint;
  readonly outBytes: bigint;
}

export const noRates: Rates = noStatistics;

/** What was counted since it was added or set to zero, and how much of it a second. */
export interface Counted {
  readonly statistics: Statistics;
  readonly rates: Rates;
}
