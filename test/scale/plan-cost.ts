// SPDX-License-Identifier: Apache-2.0
// What a change costs in plan and diff, in this process: the rest of an agent's CPU is the API server's answers, maps and the log.
import { emptyChange } from '../../src/kube/cluster-source.ts';
import { ingest } from '../../src/kube/ingest.ts';
import type { EndpointSliceObject } from '../../src/model/cluster.ts';
import { type VirtualService, virtualServiceId } from '../../src/model/virtual-service.ts';
import { nodeView } from '../../src/plan/node-view.ts';
import { planContext } from '../../src/plan/plan.ts';
import { Planner } from '../../src/plan/planner.ts';
import { diff } from '../../src/reconcile/diff.ts';
import { nodeOne } from '../lib/cast.ts';
import { type Population, serviceObject, sliceObject } from './objects.ts';

const context = planContext(nodeView('node1', [nodeOne.v4, nodeOne.v6], undefined), {
  families: [4, 6],
  scheduler: 'rr',
  nodePortAddresses: [],
});

/** @returns milliseconds of CPU for each change: the first endpoint of a Service ceases to be ready, or is again */
export function planCpuMs({ services, endpointsEach }: Population, changes: number): number {
  const planner = new Planner(context);
  const all = emptyChange();
  const slices: EndpointSliceObject[] = [];
  for (let i = 0; i < services; i++) {
    const { service, slice } = objectsOf(i, endpointsEach);
    all.services.set(`${service.namespace}/${service.name}`, service);
    all.slices.set(`${slice.namespace}/${slice.name}`, slice);
    slices.push(slice);
  }
  planner.update(all);
  const actual = new Map<string, VirtualService>();
  for (const each of planner.services()) actual.set(virtualServiceId(each), each);
  const start = process.threadCpuUsage();
  for (let i = 0; i < changes; i++) {
    const slice = slices[(i >> 1) % services];
    if (!slice) throw new RangeError('Expected a Service to change');
    const key = `${slice.namespace}/${slice.name}`;
    const change = planner.update({
      services: new Map(),
      slices: new Map([[key, i % 2 === 0 ? withoutFirst(slice) : slice]]),
    });
    const operations = diff(
      change.changed,
      change.changed.flatMap((each) => actual.get(virtualServiceId(each)) ?? []),
    );
    if (operations.length !== 1) throw new Error(`Expected one operation but received ${operations.length}`);
    for (const each of change.changed) actual.set(virtualServiceId(each), each);
  }
  const { user, system } = process.threadCpuUsage(start);
  return (user + system) / 1000 / changes;
}

function objectsOf(number: number, endpointsEach: number) {
  const documents = [serviceObject(number), sliceObject(number, { endpointsEach })];
  const { services, slices, problems } = ingest(documents, 'scale');
  const [[service], [slice]] = [services, slices];
  if (!service || !slice) throw new Error(`Expected valid objects but: ${problems.join(', ')}`);
  return { service, slice };
}

function withoutFirst(slice: EndpointSliceObject): EndpointSliceObject {
  const [first, ...others] = slice.endpoints;
  return {
    ...slice,
    endpoints: first ? [{ ...first, isReady: false, isServing: false }, ...others] : others,
  };
}
