#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// demo.ts: the main job, in network namespaces of its own: Services and EndpointSlices in, real TCP connections from a pod, from a
// process of the host and from outside balanced by rr and by sh, and the listings. Needs root; leaves nothing behind.
import { fileURLToPath } from 'node:url';
import { externalWeb, serviceWeb } from '../test/lib/cast.ts';
import { NodeAgent } from '../test/lib/daemon.ts';
import type { Host } from '../test/lib/host.ts';
import { Lab, missingForLab } from '../test/lib/lab.ts';
import { dualServiceManifests } from '../test/lib/manifests/dual-stack.ts';
import { Client, tally } from '../test/lib/traffic/client.ts';
import { Servers } from '../test/lib/traffic/server.ts';

const usage = `usage: npm run demo
Serves two Services in a lab of network namespaces by rr and by sh, and prints who answered. Needs root; leaves nothing behind.
`;

const words = process.argv.slice(2);
if (words.length > 0) {
  const isHelp = words.length === 1 && ['--help', '-h'].includes(words[0] ?? '');
  process[isHelp ? 'stdout' : 'stderr'].write(usage);
  process.exit(isHelp ? 0 : 2);
}

const port = 8080;
const requests = 30;
const families = ['v4', 'v6'] as const;
const bpvsadm = fileURLToPath(new URL('../src/cli/bpvsadm.ts', import.meta.url));

process.stdout.once('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(1); // nobody reads on
});

const missing = missingForLab();
if (missing !== undefined) {
  console.error(`demo: ${missing}`);
  process.exit(3);
}

console.log('A lab: an outside client and two nodes with three pods each, wired by the CNI plugin ptp.');
await using lab = await Lab.create({ name: 'demo', cni: 'ptp' });
const [podOne, podTwo, podThree, podFour] = lab.pods;
if (!podOne || !podTwo || !podThree || !podFour) throw new Error('the lab has too few pods');
await using _servers = await Servers.start([podOne, podTwo, podFour], { tcp: [port] });
await using agent = new NodeAgent(lab, lab.nodes[0]);
agent.write([
  ...dualServiceManifests({
    name: 'web',
    at: serviceWeb,
    endpoints: [podOne, podTwo, podFour].map((pod) => pod.addresses),
  }),
  ...dualServiceManifests({
    name: 'shop',
    at: { v4: '10.96.0.81', v6: 'fd00:10:96::81', port: 80 },
    endpoints: [podOne, podTwo].map((pod) => pod.addresses),
    externalIps: [externalWeb],
  }),
]);

for (const scheduler of ['rr', 'sh']) {
  console.log(`\n$ bpvs run --manifests DIR --scheduler ${scheduler}`);
  console.log(await agent.start('--scheduler', scheduler));
  console.log(`\n${requests} requests each, one TCP connection a request:`);
  await ask('pod n1-pod3', podThree, serviceWeb);
  await ask('process on node1', agent.host, serviceWeb);
  await ask('outside client', lab.client, externalWeb);
  await show('-Ln');
  await agent.stop();
}
await show('-Ln', '--stats', '-t', `${serviceWeb.v4}:${serviceWeb.port}`);
console.log('\n$ bpvs cleanup');
console.log((await agent.command('cleanup')).stdout.trimEnd());

async function ask(
  name: string,
  host: Host,
  service: { v4: string; v6: string; port: number },
): Promise<void> {
  await using client = await Client.start(host);
  for (const family of families) {
    const answers = await client.tcp({ address: service[family], port: service.port, count: requests });
    const counts = Object.entries(tally(answers)).map(([server, count]) => `${server}: ${count}`);
    console.log(`  ${name.padEnd(17)} → ${service[family].padEnd(21)} ${counts.sort().join(', ')}`);
  }
}

async function show(...options: string[]): Promise<void> {
  const { stdout, stderr } = await agent.node.run([process.execPath, bpvsadm, ...options], {
    environment: { BPVS_PIN_DIR: agent.pinDirectory },
  });
  console.log(`\n$ bpvsadm ${options.join(' ')}\n${(stdout + stderr).trimEnd()}`);
}
