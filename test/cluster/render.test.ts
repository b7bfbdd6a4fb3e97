// SPDX-License-Identifier: Apache-2.0
// bpvs render, from files that kubectl wrote, against what an agent programs from the API.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { openBpfView } from '../../src/dataplane/bpf/view.ts';
import { type VirtualService, virtualServiceId } from '../../src/model/virtual-service.ts';
import { ClusterLab, missingForClusterLab, patientMs } from '../lib/cluster/cluster-lab.ts';
import { setReady, terminatePods } from '../lib/cluster/objects.ts';
import { until } from '../lib/until.ts';

suite('bpvs render', { skip: missingForClusterLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: ClusterLab;

  before(async () => {
    // A file says of a node's addresses what its Node does.
    lab = resources.use(await ClusterLab.start('test-render', { flags: ['--nodeport-addresses=primary'] }));
    await serveAll();
  });
  after(() => resources.disposeAsync());

  /** One Service of each kind; an annotation each for those that have one. */
  async function serveAll(): Promise<void> {
    const tcp = { name: 'tcp', port: 80, targetPort: 8080 };
    const udp = { name: 'udp', port: 53, targetPort: 8080, protocol: 'UDP' };
    const dual = { ipFamilyPolicy: 'RequireDualStack', selector: { app: 'web' }, ports: [tcp, udp] };
    const balanced = { ...dual, type: 'LoadBalancer' };
    await lab.serve('plain', dual);
    await lab.serve('node-port', { ...dual, type: 'NodePort' });
    await lab.serve('external', { ...dual, externalIPs: ['198.51.100.80', 'fd00:198:51:100::80'] });
    await lab.serve('cluster', { ...balanced, loadBalancerSourceRanges: ['192.0.2.0/24', 'fd00::/16'] }, [
      '198.51.100.90',
      'fd00:198:51:100::90',
    ]);
    await lab.serve('local', { ...balanced, externalTrafficPolicy: 'Local' }, ['198.51.100.91']);
    await lab.serve('inside', { ...dual, internalTrafficPolicy: 'Local' });
    await lab.serve('near', { ...dual, trafficDistribution: 'PreferSameZone' });
    await lab.serve('sticky', { ...dual, sessionAffinity: 'ClientIP' });
    await lab.serve('empty', { ...dual, selector: { app: 'none' } });
    await lab.serve('sctp', { ...dual, ports: [{ port: 3868, protocol: 'SCTP' }] });
    await lab.cluster.kubectl(['annotate', 'service', 'plain', 'bpvs.io/scheduler=wlc']);
    await setReady(lab.cluster, 'n1-pod2', false);
    await terminatePods(lab.cluster, 'n2-pod3');
  }

  /** What makes a virtual service, in one order and spelling; counters are no part of it. */
  function listed(services: readonly VirtualService[]): readonly unknown[] {
    return services
      .map((service) => ({
        id: virtualServiceId(service),
        scheduler: service.scheduler,
        flags: [...service.schedulerFlags].sort(),
        noDestination: service.noDestination,
        outside: service.outside,
        persistence: service.persistence,
        destinations: service.destinations
          .map((each) =>
            [each.address, each.port, each.weight, each.forwarding, each.clients ?? 'all'].join(' '),
          )
          .sort(),
      }))
      .sort((a, b) => a.id.localeCompare(b.id));
  }

  async function rendered(): Promise<readonly VirtualService[]> {
    const [agent] = lab.agents;
    for (const kind of ['services', 'endpointslices', 'nodes']) {
      const text = await lab.cluster.kubectl(['get', kind, '--all-namespaces', '-o', 'yaml']);
      writeFileSync(join(agent.manifests, `${kind}.yaml`), text);
    }
    const bpvs = join(import.meta.dirname, '../../src/agent/bpvs.ts');
    const words = ['render', '--manifests', agent.manifests, '--node', 'node1', '-o', 'json'];
    return JSON.parse(await agent.node.mustRun([process.execPath, bpvs, ...words])) as VirtualService[];
  }

  function programmed(): readonly VirtualService[] {
    using view = openBpfView(lab.agents[0].pinDirectory);
    return view.services();
  }

  test('it gives the same virtual services from files as the agent programs from the API', async () => {
    const both = async () => ({ rendered: listed(await rendered()), programmed: listed(programmed()) });
    const found = await until(
      both,
      (each) =>
        JSON.stringify(each.rendered) === JSON.stringify(each.programmed) && each.rendered.length > 50,
      patientMs,
    );
    assert.deepEqual(found.programmed, found.rendered);
    assert.ok(found.rendered.length > 50, `${found.rendered.length} virtual services`);
  });
});
