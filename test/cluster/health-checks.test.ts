// SPDX-License-Identifier: Apache-2.0
// What a load balancer is told of each node at a Service's health-check node port.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, suite, test } from 'node:test';
import { nodeOne, nodeTwo } from '../lib/cast.ts';
import { ClusterLab, missingForClusterLab, patientMs } from '../lib/cluster/cluster-lab.ts';
import { setReady, terminatePods } from '../lib/cluster/objects.ts';
import { until } from '../lib/until.ts';

const healthCheckNodePort = 32456;
const otherPort = 32457;

suite('health-check node ports', { skip: missingForClusterLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: ClusterLab;

  before(async () => {
    lab = resources.use(await ClusterLab.start('test-health'));
    await serve('web', healthCheckNodePort);
  });
  after(() => resources.disposeAsync());

  function serve(name: string, port: number): Promise<void> {
    return lab.serve(name, {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: port,
      ipFamilyPolicy: 'RequireDualStack',
      selector: { app: 'web' },
      ports: [{ port: 80, targetPort: 8080 }],
    });
  }

  /** Asks as a load balancer does, from outside: the status, and how many endpoints the node says it has. */
  async function ask(address: string, port = healthCheckNodePort): Promise<string> {
    const host = address.includes(':') ? `[${address}]` : address;
    const format = '%{http_code} %header{x-load-balancing-endpoint-weight}';
    const url = `http://${host}:${port}/`;
    const { stdout } = await lab.lab.client.run(['curl', '-sgo', '/dev/null', '-m', '5', '-w', format, url]);
    return stdout.trim();
  }

  async function tells(address: string, expected: string, port?: number): Promise<void> {
    const found = await until(
      () => ask(address, port),
      (answer) => answer === expected,
      patientMs,
    );
    assert.equal(found, expected, address);
  }

  test('each node tells its ready endpoints in both families; those that terminate count no more', async () => {
    for (const { v4, v6 } of [nodeOne, nodeTwo]) {
      await tells(v4, '200 2');
      await tells(v6, '200 2');
    }
    await setReady(lab.cluster, 'n1-pod2', false);
    await tells(nodeOne.v4, '200 1');
    await terminatePods(lab.cluster, 'n1-pod3');
    await tells(nodeOne.v4, '503 0');
    assert.equal(await ask(nodeTwo.v4), '200 2');
    await setReady(lab.cluster, 'n1-pod2', true);
    await tells(nodeOne.v4, '200 1');
  });

  test('a port that somebody else has is told by an Event, and served when it is free', async () => {
    const program = `require('net').createServer().listen(${otherPort}, '::', () => console.log('ready'))`;
    const other = lab.lab.nodes[0].spawn([process.execPath, '-e', program]);
    resources.defer(() => void other.kill());
    await once(other.stdout, 'data');
    await serve('second', otherPort);
    const described = await until(
      () => lab.cluster.kubectl(['describe', 'service', 'second']),
      (text) => /FailedToStartServiceHealthcheck/.test(text),
      patientMs,
    );
    assert.match(
      described,
      /Warning +FailedToStartServiceHealthcheck .*node node1 failed to start healthcheck "default\/second" on port 32457/,
    );
    await tells(nodeTwo.v4, '200 2', otherPort);
    const ended = once(other, 'exit');
    other.kill();
    await ended;
    await tells(nodeOne.v4, '200 1', otherPort);
  });

  test('it closes when its Service is led by policy Cluster, or deleted', async () => {
    const spec = JSON.stringify({ spec: { externalTrafficPolicy: 'Cluster' } });
    await lab.cluster.kubectl(['patch', 'service', 'web', '--type=merge', '-p', spec]);
    await tells(nodeTwo.v4, '000');
    await lab.cluster.kubectl(['delete', 'service', 'second']);
    await tells(nodeTwo.v4, '000', otherPort);
  });
});
