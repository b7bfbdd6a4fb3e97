// SPDX-License-Identifier: Apache-2.0
// SCTP by the kernel's own sockets, where the kernel has them: packets whose checksum devices fill in, and GSO.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ServiceAddress, serviceWeb } from '../lib/cast.ts';
import { mustRun } from '../lib/command.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { missingForKernelSctp } from '../lib/traffic/sctp.ts';

const source = fileURLToPath(new URL('../lib/traffic/kernel-sctp.c', import.meta.url));
const serviceThere: ServiceAddress = { v4: '10.96.0.82', v6: 'fd00:10:96::82', port: 80 };

suite('SCTP of the kernel', { skip: missingForLab() ?? missingForKernelSctp() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let program: string;

  before(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bpvs-kernel-sctp-'));
    resources.defer(() => rmSync(folder, { recursive: true }));
    program = join(folder, 'kernel-sctp');
    await mustRun(['clang-19', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source]);
    lab = resources.use(await Lab.create({ name: 'test-kernel-sctp', cni: 'ptp' }));
    const [, here, , there] = lab.pods as [Pod, Pod, Pod, Pod];
    for (const pod of [here, there]) {
      const server = pod.spawn([program, 'server', '8080']);
      resources.defer(() => void server.kill('SIGKILL'));
      await once(createInterface({ input: server.stdout }), 'line');
    }
    const agent = resources.use(new NodeAgent(lab, lab.nodes[0]));
    const service = (name: string, at: ServiceAddress, pod: Pod) =>
      dualServiceManifests({ name, at, endpoints: [pod.addresses], protocols: ['SCTP'] });
    agent.write([...service('here', serviceWeb, here), ...service('there', serviceThere, there)]);
    await agent.start();
  });
  after(() => resources.disposeAsync());

  for (const offload of ['on', 'off']) {
    for (const family of ['v4', 'v6'] as const) {
      test(`${family} sctp: messages up to 60,000 bytes, checksums and segments by devices ${offload}, come back whole`, async () => {
        const [from, here] = lab.pods as [Pod, Pod];
        for (const { hostDevice } of [from, here]) {
          await lab.nodes[0].mustRun(['ethtool', '-K', hostDevice, 'tx', offload]);
        }
        for (const at of [serviceWeb, serviceThere]) {
          for (const bytes of [1, 1000, 30_000, 60_000]) {
            const argv = [program, 'client', at[family], String(at.port), String(bytes)];
            assert.equal(await from.mustRun(argv), 'same\n', `${bytes} bytes to ${at[family]}`);
          }
        }
      });
    }
  }
});
