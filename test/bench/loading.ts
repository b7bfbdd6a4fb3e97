// SPDX-License-Identifier: Apache-2.0
// How long it takes to show the data plane all services of a large cluster.
import { defaultSizes } from '../../src/dataplane/bpf/options.ts';
import { applyAll, openPlane, serviceOperations } from './world.ts';

/** @returns seconds for 10,000 services with two destinations each, by rr, into empty maps of a node's default size */
export function measureLoading(): number {
  using plane = openPlane(defaultSizes);
  const operations = serviceOperations({ family: 4, protocol: 'tcp', scheduler: 'rr' }, 10_000);
  const start = performance.now();
  applyAll(plane, operations);
  return (performance.now() - start) / 1000;
}
