// SPDX-License-Identifier: Apache-2.0
// A million half-open attempts on a table of the default size.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { defaultSizes } from '../../src/dataplane/bpf/options.ts';
import { Fresh, type Traffic } from '../bench/fresh.ts';
import { destinationBases, virtualBases, World } from '../bench/world.ts';
import { missingForBpf } from '../lib/plane.ts';

const established = 5000;
const attempts = 1_000_000;
/** A port after the other, 1024 clients each; those established have none of them. */
const firstAttempt = 20_000_000;
const floodPorts = [
  1024 + Math.floor(firstAttempt / 1024),
  1025 + Math.ceil((firstAttempt + attempts) / 1024),
] as const;

suite('a flood of half-open connections', { skip: missingForBpf() ?? false }, () => {
  for (const [protocol, flags, state] of [
    ['tcp', 'S', 'SYN_RECV'],
    ['udp', '', 'UDP'],
  ] as const) {
    test(`a million of ${protocol}, each from another source, displace each other and no one else, and each is counted`, () => {
      using fresh = new Fresh();
      using world = World.open(fresh, {
        services: 10,
        connections: defaultSizes.connections,
        kinds: [{ family: 4, protocol, scheduler: 'sh', flows: established }],
      });
      const flood: Traffic = {
        family: 4,
        protocol,
        flags,
        direction: 'request',
        firstFlow: firstAttempt,
        flows: attempts,
        isShuffled: false,
        hasScatteredPorts: false,
        services: 10,
        virtualBase: virtualBases.sh,
        destinationBase: destinationBases.own,
      };
      fresh.run(world.ingress, flood, attempts);
      const { view } = world.plane;
      assert.equal(view.reasons().get('displaced_half_open'), BigInt(attempts - defaultSizes.halfOpen));
      world.checkDrops();
      const isOfFlood = ({ port }: { port: number }) => port >= floodPorts[0] && port < floodPorts[1];
      const counts = Map.groupBy(view.connections(), ({ client, state }) =>
        isOfFlood(client) ? state : 'established',
      );
      assert.deepEqual([...counts].map(([kind, each]) => [kind, each.length]).sort(), [
        [state, defaultSizes.halfOpen],
        ['established', established],
      ]);
      const loads = view.services().flatMap(({ destinations }) => destinations);
      const sum = (of: (each: (typeof loads)[number]) => number) =>
        loads.reduce((n, each) => n + of(each), 0);
      assert.equal(
        sum((each) => each.activeConnections + each.inactiveConnections),
        established + defaultSizes.halfOpen,
      );
    });
  }
});
