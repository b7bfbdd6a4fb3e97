// SPDX-License-Identifier: Apache-2.0
// CPU time of the whole path from pod to pod, by way and by what is done; all ways in turn, round by round.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { compileTraffic, type Deed, PathSubject, type SubjectOptions, type Way } from './path-subjects.ts';
import { inTurn, joined } from './samples.ts';

/** What a client does, and how often in one round: some 30 ms. */
const deeds = {
  connections: 1000,
  exchanges: 4000,
  datagrams: 4000,
  packets: 25_600,
  flows: 2000,
  mebibytes: 128,
} as const satisfies Record<Deed, number>;

export interface PathRow {
  readonly way: Way;
  readonly services: number;
  readonly deed: Deed;
  /** Of each round, nanoseconds of CPU time of both ends and all between them, for each. */
  readonly samples: readonly number[];
}

export interface PathResults {
  readonly rows: readonly PathRow[];
  /** Of the daemon with 10,000 services. */
  readonly residentMiB: number;
}

const rounds = 30;

/** Where the memory of a lab and of its programs is makes a fiftieth, so there are three of what is compared closely. */
const ways: readonly SubjectOptions[] = [
  { name: 'bench-plain', way: 'plain routing', services: 0 },
  { name: 'bench-empty', way: 'empty hooks', services: 0 },
  { name: 'bench-nft', way: 'nftables', services: 1 },
  { name: 'bench-local', way: 'BPVS with --local-redirect', services: 1 },
  { name: 'bench-one', way: 'BPVS', services: 1 },
  { name: 'bench-many', way: 'BPVS', services: 10_000 },
  { name: 'bench-plain-2', way: 'plain routing', services: 0 },
  { name: 'bench-local-2', way: 'BPVS with --local-redirect', services: 1 },
  { name: 'bench-many-2', way: 'BPVS', services: 10_000 },
  { name: 'bench-one-2', way: 'BPVS', services: 1 },
  { name: 'bench-one-3', way: 'BPVS', services: 1 },
  { name: 'bench-many-3', way: 'BPVS', services: 10_000 },
  { name: 'bench-plain-3', way: 'plain routing', services: 0 },
];

export async function measurePaths(): Promise<PathResults> {
  const folder = mkdtempSync(`${tmpdir()}/bpvs-bench-`);
  const subjects: PathSubject[] = [];
  try {
    const traffic = await compileTraffic(folder);
    for (const options of ways) subjects.push(await PathSubject.open(traffic, options));
    const rows = await measure(subjects);
    const residentMiB = Math.max(...subjects.map((subject) => subject.residentMiB ?? 0));
    return { rows, residentMiB };
  } finally {
    for (const subject of subjects) await subject.close();
    rmSync(folder, { recursive: true });
  }
}

async function measure(subjects: readonly PathSubject[]): Promise<readonly PathRow[]> {
  const measured = (Object.keys(deeds) as Deed[]).flatMap((deed) =>
    subjects.map((subject) => ({ subject, deed, samples: [] as number[] })),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { subject, deed, samples } of inTurn(measured, round))
      samples.push(await subject.run(deed, deeds[deed]));
  }
  const rows = measured.map(({ subject: { way, services }, deed, samples }) => ({
    way,
    services,
    deed,
    samples,
  }));
  return joined(rows, ({ way, services, deed }) => `${way}, ${services}, ${deed}`);
}
