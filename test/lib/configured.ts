// SPDX-License-Identifier: Apache-2.0
// A node's hooks with virtual services that no manifest can ask for: those of ipvsadm alone.
import { BpfDataPlane } from '../../src/dataplane/bpf/bpf-data-plane.ts';
import { defaultSizes } from '../../src/dataplane/bpf/options.ts';
import type { Operation } from '../../src/model/operation.ts';
import type { NodeAgent } from './daemon.ts';

/** Has a daemon attach the hooks, ends it, and writes to the maps that it leaves. Throws the first failure. */
export async function configure(
  agent: NodeAgent,
  operations: readonly Operation[],
  ...daemonOptions: readonly string[]
): Promise<void> {
  agent.write([]);
  await agent.start(...daemonOptions);
  await agent.stop();
  const plane = BpfDataPlane.open({
    ...{ pinDirectory: agent.pinDirectory, sizes: defaultSizes, timeouts: {} },
    ...{ expireNodestConn: true, connReuseMode: 1, hasVirtualClock: false },
  });
  try {
    const [failure] = plane.apply(operations);
    if (failure) throw failure.error;
  } finally {
    plane.close();
  }
}
