// SPDX-License-Identifier: Apache-2.0
// npm run scale [-- --check]: the agent in a cluster of 10,000 Services beside one of a single Service, and kube-proxy in both.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { missedRatios, ratioTable } from '../test/bench/report.ts';
import { clientOne, nodeOne, nodeTwo } from '../test/lib/cast.ts';
import { Cluster } from '../test/lib/cluster/cluster.ts';
import { createNode } from '../test/lib/cluster/objects.ts';
import { missingForCluster } from '../test/lib/cluster/programs.ts';
import { Lab, missingForLab, missingForLabWith } from '../test/lib/lab.ts';
import { BpvsSubject } from '../test/scale/bpvs-subject.ts';
import { KubeProxySubject } from '../test/scale/kube-proxy-subject.ts';
import { type Measurement, measure } from '../test/scale/measure.ts';
import type { Population } from '../test/scale/objects.ts';
import { Operator } from '../test/scale/operator.ts';
import { planCpuMs } from '../test/scale/plan-cost.ts';
import { legend, limitsOf, measurementTable } from '../test/scale/report.ts';

const usage = `usage: npm run scale -- [--check] [--json FILE] [--services N] [--changes N] [--without-kube-proxy]
  --check               exit with status 1 when a limit is missed
  --json FILE           write all numbers there, too
  --services N          of ten endpoints each (10,000); limits are those of 10,000
  --changes N           of single endpoints, each waited for (200; kube-proxy gets a twentieth)
  --without-kube-proxy  leave the peer out
Needs root and, for the first time, Go: scripts/build-kubernetes.
`;

const endpointsEach = 10;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      check: { type: 'boolean' },
      json: { type: 'string' },
      services: { type: 'string', default: '10000' },
      changes: { type: 'string', default: '200' },
      'without-kube-proxy': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const hasPeer = !values['without-kube-proxy'];
  const missing =
    missingForLab() ?? missingForCluster() ?? (hasPeer ? missingForLabWith('nft', 'nftables') : undefined);
  if (missing !== undefined) {
    process.stderr.write(`scale: ${missing}\n`);
    return 3;
  }
  const [services, changes] = [wholeNumber(values.services), wholeNumber(values.changes)];
  const measurements = await measureAll(services, changes, hasPeer);
  const full = measurements.findLast(({ subject }) => subject === 'BPVS');
  const limits = full ? limitsOf(full, planCpuMs(full, changes)) : [];
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ measurements, limits }, null, 2)}\n`);
  process.stdout.write(`${measurementTable(measurements)}\n\n${legend}\n\n${ratioTable(limits)}\n`);
  return values.check && missedRatios(limits).length > 0 ? 1 : 0;
}

/** Each proxy on a node of its own, one after the other; the control plane and who changes objects on a third machine. */
async function measureAll(
  services: number,
  changes: number,
  hasPeer: boolean,
): Promise<readonly Measurement[]> {
  await using lab = await Lab.create({ name: 'scale', podsPerNode: 1 });
  tell('starting the control plane');
  await using cluster = await Cluster.start({
    at: { host: lab.client, address: clientOne.v4 },
    hasControllers: false,
  });
  await createNode(cluster, 'node1', nodeOne, 'zone1');
  await createNode(cluster, 'node2', nodeTwo, 'zone2');
  await using operator = await Operator.start(lab.client, cluster.kubeconfig('admin'));
  const measurements: Measurement[] = [];
  let made = 0;
  for (const population of [1, services].map((each): Population => ({ services: each, endpointsEach }))) {
    tell(`making ${population.services} Services with ${population.services * endpointsEach} endpoints`);
    await operator.populate(made, population);
    made = population.services;
    await using bpvs = new BpvsSubject(lab, lab.nodes[0], cluster, operator, population);
    await using peer = new KubeProxySubject(lab.nodes[1], cluster, operator);
    const peers = hasPeer ? [peer] : [];
    for (const subject of [bpvs, ...peers]) {
      tell(`measuring ${subject.name}`);
      const number = subject === bpvs ? changes : Math.max(2, Math.round(changes / 20));
      measurements.push(await measure(subject, population, number));
    }
  }
  return measurements;
}

function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text);
  throw new RangeError(`Expected a whole number from 1 to 99999 but received ${text}`);
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

process.exitCode = await main();
