// SPDX-License-Identifier: Apache-2.0
// The daemon under a kube-proxy's command line and configuration file, in place of it.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { serviceWeb } from '../lib/cast.ts';
import { NodeAgent } from '../lib/daemon.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';

const configuration = (body: string) => `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 2h, tcpCloseWaitTimeout: 0s}
oomScoreAdj: 7
${body}`;

suite('the daemon in place of kube-proxy', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let folder: string;

  before(async () => {
    lab = resources.use(await Lab.create({ name: 'test-proxy', podsPerNode: 1 }));
    folder = mkdtempSync(join(tmpdir(), 'bpvs-config-'));
    resources.defer(() => rmSync(folder, { recursive: true }));
  });
  after(() => resources.disposeAsync());

  /** With a Service, and a Node object for who asks whether the node is eligible. */
  function makeAgent(taints: readonly string[] = []): NodeAgent {
    const agent = new NodeAgent(lab, lab.nodes[0]);
    const endpoints = lab.pods.map((pod) => pod.addresses);
    agent.write(dualServiceManifests({ name: 'web', at: serviceWeb, endpoints }));
    writeNode(agent, taints);
    return agent;
  }

  function writeNode(agent: NodeAgent, taints: readonly string[]): void {
    const { name } = agent.node;
    const spec = { taints: taints.map((key) => ({ key, effect: 'NoSchedule' })) };
    agent.write([{ apiVersion: 'v1', kind: 'Node', metadata: { name }, spec }], 'node.json');
  }

  function writeConfiguration(body: string): string {
    const path = join(folder, 'config.conf');
    writeFileSync(path, configuration(body));
    return path;
  }

  const ask = async (agent: NodeAgent, url: string) => {
    const { stdout } = await agent.node.run(['curl', '-s', '-w', ' %{http_code}', `http://${url}`]);
    return stdout;
  };

  test('ipvs.scheduler, ipvs.udpTimeout, conntrack values and the OOM score of the file count', async () => {
    await using agent = makeAgent();
    const path = writeConfiguration('mode: ipvs\nipvs: {scheduler: sh, udpTimeout: 30s, strictARP: true}\n');
    assert.match(await agent.startAsProxy(`--config=${path}`, '-v=2'), /^bpvs: ready, 4 virtual services/);
    const { stdout } = await agent.command('status', '-o', 'json');
    assert.equal(JSON.parse(stdout).daemon, agent.pid);
    const listing = await agent.bpvsadm('-Ln');
    assert.match(listing, new RegExp(`TCP  ${serviceWeb.v4}:${serviceWeb.port} sh\n`));
    assert.equal(readFileSync(`/proc/${agent.pid}/oom_score_adj`, 'utf8').trim(), '7');
    const established = '/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established';
    assert.equal((await agent.node.mustRun(['cat', established])).trim(), '7200');
    assert.match(agent.log, /event="configuration field without effect" field=ipvs\.strictARP value=true/);
    assert.equal(agent.log.match(/without effect/g)?.length, 2);
  });

  test('health, mode and configuration are served where the file says', async () => {
    await using agent = makeAgent();
    const path = writeConfiguration('mode: ipvs\nmetricsBindAddress: 127.0.0.1:11249\n');
    await agent.startAsProxy(`--config=${path}`);
    const health = await ask(agent, '127.0.0.1:10256/healthz');
    assert.match(health, /^\{"lastUpdated":".*"nodeEligible":true,"healthy":true,"status":\{"IPv4".* 200$/);
    assert.match(await ask(agent, '[::1]:10256/livez'), / 200$/);
    assert.equal(await ask(agent, '127.0.0.1:11249/proxyMode'), 'ipvs 200');
    const configz = await ask(agent, '127.0.0.1:11249/configz');
    const { mode } = JSON.parse(configz.replace(/ 200$/, ''))['kubeproxy.config.k8s.io'];
    assert.equal(mode, 'ipvs');
  });

  test('a node that the autoscaler is about to remove is not eligible, as soon as its taint is seen', async () => {
    await using agent = makeAgent(['ToBeDeletedByClusterAutoscaler']);
    // Here the minimum period is a second; the first sync does not wait for it.
    const ready = await agent.startAsProxy('--metrics-bind-address=127.0.0.1:11249');
    assert.match(ready, /^bpvs: ready, 4 virtual services/);
    assert.match(await ask(agent, '127.0.0.1:10256/healthz'), /"nodeEligible":false,"healthy":true,.* 503$/);
    assert.match(await ask(agent, '127.0.0.1:10256/livez'), / 200$/);
    writeNode(agent, []);
    for (const deadline = performance.now() + 10_000; ; ) {
      if (/ 200$/.test(await ask(agent, '127.0.0.1:10256/healthz'))) break;
      assert.ok(performance.now() < deadline, 'the taint is gone');
    }
  });

  test("a Service's health-check node port tells the ready endpoints of this node, and closes with it", async () => {
    await using agent = makeAgent();
    const [here, there] = lab.pods.map(({ addresses }) => addresses.v4);
    const writeBalanced = (isReady: boolean) =>
      agent.write(
        [
          {
            apiVersion: 'v1',
            kind: 'Service',
            metadata: { name: 'balanced' },
            spec: {
              type: 'LoadBalancer',
              externalTrafficPolicy: 'Local',
              healthCheckNodePort: 32456,
              clusterIP: '10.96.0.99',
              ports: [{ port: 80, nodePort: 32080 }],
            },
          },
          {
            apiVersion: 'discovery.k8s.io/v1',
            kind: 'EndpointSlice',
            metadata: { name: 'balanced-a', labels: { 'kubernetes.io/service-name': 'balanced' } },
            addressType: 'IPv4',
            endpoints: [
              { addresses: [here], nodeName: agent.node.name, conditions: { ready: isReady } },
              { addresses: [there], nodeName: 'node2' },
            ],
            ports: [{ name: '', protocol: 'TCP', port: 8080 }],
          },
        ],
        'balanced.json',
      );
    writeBalanced(true);
    await agent.startAsProxy();
    const answered = async (pattern: RegExp) => {
      const { v4 } = agent.node.addresses;
      for (const deadline = performance.now() + 10_000; ; ) {
        const answer = await ask(agent, `${v4}:32456/`);
        if (pattern.test(answer)) return;
        assert.ok(performance.now() < deadline, `expected ${pattern} but received ${answer}`);
      }
    };
    await answered(
      /^\{\n\t"service": \{\n\t\t"namespace": "default",\n\t\t"name": "balanced"[\s\S]*"localEndpoints": 1,[\s\S]* 200$/,
    );
    writeBalanced(false);
    await answered(/"localEndpoints": 0,[\s\S]* 503$/);
    agent.write([], 'balanced.json');
    await answered(/^ 000$/);
  });

  test('with bindAddressHardFail a port in use ends the start', async () => {
    await using agent = makeAgent();
    const other = agent.node.spawn([
      process.execPath,
      '-e',
      "require('net').createServer().listen(10256, '0.0.0.0', () => console.log('up'))",
    ]);
    await new Promise((resolve) => other.stdout.once('data', resolve));
    await assert.rejects(
      agent.startAsProxy('--bind-address-hard-fail'),
      /ended with 3: .*Expected 0\.0\.0\.0:10256 to be free for the health server/s,
    );
    other.kill('SIGKILL');
  });

  test('a changed configuration ends the daemon, and traffic goes on', async () => {
    await using agent = makeAgent();
    const path = writeConfiguration('mode: ipvs\n');
    await agent.startAsProxy(`--config=${path}`);
    writeConfiguration('mode: ipvs\nipvs: {scheduler: sh}\n');
    assert.equal(await agent.ended(), 1);
    assert.match(agent.log, /The configuration file .* has changed: bpvs ends, to be started again with it/);
    assert.match(await agent.bpvsadm('-Ln'), /TCP .* rr\n/);
    await agent.startAsProxy(`--config=${path}`);
    assert.match(await agent.bpvsadm('-Ln'), /TCP .* sh\n/);
  });

  test('a ConfigMap whose links are swapped counts as changed, one that cannot be used does not', async () => {
    await using agent = makeAgent();
    const map = mkdtempSync(join(folder, 'map-'));
    const swap = (name: string, body: string) => {
      writeFileSync(join(map, name), configuration(body));
      symlinkSync(name, join(map, 'new'));
      renameSync(join(map, 'new'), join(map, 'config.conf'));
    };
    swap('one', 'mode: ipvs\n');
    await agent.startAsProxy(`--config=${join(map, 'config.conf')}`);
    swap('two', 'mode: ipvs\nipvs: {scheduler: fastest}\n');
    await agent.logged(/event="configuration changed to one that cannot be used, .*fastest/, 10_000);
    swap('three', 'mode: ipvs\nipvs: {scheduler: dh}\n');
    assert.equal(await agent.ended(), 1);
  });
});
