// SPDX-License-Identifier: Apache-2.0
// The image's content as deploy/kustomize runs it: no shell, a read-only root, three capabilities.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, suite, test } from 'node:test';
import { serviceWeb } from '../lib/cast.ts';
import { NodeAgent } from '../lib/daemon.ts';
import { ImageRoot, readDaemonSet } from '../lib/image.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';

const missingTool =
  spawnSync('which', ['capsh']).status === 0
    ? undefined
    : 'the test needs capsh (Debian package libcap2-bin)';
const [container] = readDaemonSet().spec.template.spec.containers;
const capabilities = container.securityContext.capabilities.add;

suite('the image', { skip: missingForLab() ?? missingTool ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let image: ImageRoot;

  before(async () => {
    image = resources.use(new ImageRoot());
    lab = resources.use(await Lab.create({ name: 'test-image', podsPerNode: 1 }));
  });
  after(() => resources.disposeAsync());

  function makeAgent(): NodeAgent {
    const agent = new NodeAgent(lab, lab.nodes[0]);
    const endpoints = lab.pods.map((pod) => pod.addresses);
    agent.write(dualServiceManifests({ name: 'web', at: serviceWeb, endpoints }));
    return agent;
  }

  const daemon = ['/usr/local/bin/kube-proxy', '--manifests=/manifests', '--conntrack-max-per-core=0'];

  test('there is no shell in it', () => {
    const found = ['bin/sh', 'usr/bin/sh', 'bin/bash', 'usr/bin/env'].filter((path) =>
      existsSync(`${image.path}/${path}`),
    );
    assert.deepEqual(found, []);
  });

  test(`with ${capabilities.join(', ')} and a read-only root, the daemon serves under the name kube-proxy`, async () => {
    await using agent = makeAgent();
    const child = agent.node.spawn(image.command(agent, capabilities, daemon));
    let log = '';
    child.stderr.on('data', (chunk) => {
      log += chunk;
    });
    const lines = createInterface({ input: child.stdout });
    const ended = once(child, 'close').then(() => assert.fail(`ended: ${log}`));
    ended.catch(() => {});
    const [line] = await Promise.race([once(lines, 'line'), ended]);
    assert.match(line, /^bpvs: ready, 4 virtual services, /, log);
    assert.equal(effectiveCapabilities(child.pid ?? 0), capabilities.length);
    const listing = await agent.node.mustRun(
      image.command(agent, capabilities, ['/usr/local/bin/bpvsadm', '-Ln']),
    );
    assert.match(listing, new RegExp(`TCP  ${serviceWeb.v4}:${serviceWeb.port} rr\n`));
    child.kill('SIGTERM');
    await once(child, 'close');
  });

  for (const missing of capabilities) {
    test(`without ${missing} the daemon does not start, and says what it needs`, async () => {
      await using agent = makeAgent();
      const others = capabilities.filter((name) => name !== missing);
      const { code, stderr } = await agent.node.run(image.command(agent, others, daemon));
      assert.equal(code, 3);
      assert.match(stderr, /needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON/);
    });
  }
});

function effectiveCapabilities(pid: number): number {
  const [, bits = '0'] = /^CapEff:\s+([\da-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return BigInt(`0x${bits}`).toString(2).replaceAll('0', '').length;
}
