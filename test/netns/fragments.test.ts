// SPDX-License-Identifier: Apache-2.0
// Datagrams longer than any packet, both ways, through every class of flow.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { openBpfView } from '../../src/dataplane/bpf/view.ts';
import { wirings } from '../lib/cni.ts';
import type { NodeAgent } from '../lib/daemon.ts';
import { missingForFirewall, Rules, trackBridgedFrames } from '../lib/firewall.ts';
import { type FamilyName, FlowLab, families } from '../lib/flows.ts';
import { Lab, missingForLab } from '../lib/lab.ts';

const datagramSize = 32 * 1024;

/** Nothing but a reason to track connections, for which the kernel puts datagrams together and takes them apart again. */
const trackingRules = `table inet tracking {
  chain forward { type filter hook forward priority filter; ct state invalid drop; }
  chain input { type filter hook input priority filter; ct state invalid drop; }
}`;

for (const cni of wirings) {
  suite(`long datagrams with ${cni} wiring`, { skip: missingForLab() ?? false }, () => {
    const resources = new AsyncDisposableStack();
    let flows: FlowLab;
    let agent: NodeAgent;

    before(async () => {
      flows = resources.use(await FlowLab.start(await Lab.create({ name: `test-fragments-${cni}`, cni })));
      agent = resources.use(flows.agent());
      await agent.start();
    });
    after(() => resources.disposeAsync());

    const node = () => flows.lab.nodes[0];

    /** Asks every way with long datagrams; nothing may be dropped. */
    async function check(family: FamilyName): Promise<void> {
      using view = openBpfView(agent.pinDirectory);
      const before = view.reasons();
      await flows.check(agent, family, { only: ['udp'], size: datagramSize });
      for (const [reason, count] of view.reasons()) {
        if (reason.startsWith('dropped_')) assert.equal(count, before.get(reason), reason);
      }
    }

    for (const family of families) {
      test(`${cni} ${family}: datagrams of 32 KiB and answers as long pass every class of flow`, () =>
        check(family));

      const lacking = missingForFirewall(cni) ?? false;
      test(`${cni} ${family}: datagrams of 32 KiB pass every class of flow beside connection tracking`, {
        skip: lacking,
      }, async () => {
        if (cni === 'bridge') await trackBridgedFrames(node());
        await using _rules = await Rules.nft(node(), trackingRules);
        await check(family);
      });
    }
  });
}
