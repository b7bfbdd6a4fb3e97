// SPDX-License-Identifier: Apache-2.0
// What outlives a process in pinned maps, and what happens when a map has no room.
import assert from 'node:assert/strict';
import { existsSync, unlinkSync } from 'node:fs';
import { after, suite, test } from 'node:test';
import { onlyKey } from '../../src/dataplane/bpf/bpf-maps.ts';
import { removeDataPlane } from '../../src/dataplane/bpf/cleanup.ts';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import type { BpfOptions } from '../../src/dataplane/bpf/options.ts';
import { LayoutError } from '../../src/errors.ts';
import type { Operation } from '../../src/model/operation.ts';
import type { VirtualServiceKey } from '../../src/model/virtual-service.ts';
import { buildPacket } from '../lib/packet.ts';
import { missingForBpf, socketAddress, TestPlane } from '../lib/plane.ts';
import {
  add,
  connections,
  counts,
  destination,
  other,
  remove,
  serve,
  server,
  states,
  Talk,
  virtual,
} from '../lib/talk.ts';

const pinDirectory = `/sys/fs/bpf/bpvs-test-${process.pid}`;
const tiny = { services: 4, destinations: 4, places: 64, connections: 64, halfOpen: 16 };
const roomy: Partial<BpfOptions> = { pinDirectory, sizes: { ...tiny, places: 4096 } };
const pinned: Partial<BpfOptions> = { pinDirectory, sizes: tiny };

after(() => {
  if (existsSync(pinDirectory)) removeDataPlane(pinDirectory);
});

/** A process's life over the pins; nothing of it is left but what is pinned. */
function session<T>(use: (plane: TestPlane) => T, options: Partial<BpfOptions> = pinned): T {
  using plane = new TestPlane(options);
  return use(plane);
}

/** A first process on a node without pins. */
function fresh<T>(use: (plane: TestPlane) => T, options = pinned): T {
  if (existsSync(pinDirectory)) removeDataPlane(pinDirectory);
  return session(use, options);
}

/** Where some new clients go. */
function targets(plane: TestPlane): string[] {
  const clients = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => new Talk(plane, { client: `10.3.0.${n}` }).to('S'));
  plane.advance(60);
  return [...new Set(clients)].sort();
}

function addresses(plane: TestPlane): string[] {
  return plane.plane.services().flatMap(({ destinations }) => destinations.map(({ address }) => address));
}

function writeLayoutVersion(plane: TestPlane, version: bigint): void {
  const settings = plane.plane.programs.maps.get('settings');
  const value = settings.lookup(onlyKey);
  assert.ok(value);
  value.writeBigUInt64LE(version, layouts.settings.fields.abi_version.offset);
  settings.update(onlyKey, value);
}

suite('a process that takes over pinned maps', { skip: missingForBpf() ?? false }, () => {
  test('leaves timeouts that somebody has set, but for those it is asked for', () => {
    const timeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };
    fresh(
      (plane) => {
        assert.deepEqual(plane.plane.timeouts(), timeouts);
        plane.plane.setTimeouts({ tcpSeconds: 1000, udpSeconds: 30 });
      },
      { ...pinned, timeouts: {} },
    );
    const left = { ...timeouts, tcpSeconds: 1000, udpSeconds: 30 };
    session((plane) => assert.deepEqual(plane.plane.timeouts(), left), { ...pinned, timeouts: {} });
    session((plane) => assert.deepEqual(plane.plane.timeouts(), { ...left, udpSeconds: 77 }), {
      ...pinned,
      timeouts: { udpSeconds: 77 },
    });
  });

  test('goes on counting for services, and knows what was set to zero', () => {
    const service = fresh((plane) => {
      const made = serve(plane);
      new Talk(plane).establish();
      plane.plane.zeroStatistics(made);
      new Talk(plane, { port: 41000 }).client('S');
      return made;
    });
    session((plane) => {
      new Talk(plane, { port: 41001 }).client('S');
      const { inPackets } = plane.plane.services()[0]?.statistics ?? {};
      assert.deepEqual([inPackets, plane.plane.totals().statistics.inPackets], [2n, 4n]);
      remove(plane, service);
      assert.equal(plane.plane.services()[0]?.statistics.inPackets, 2n);
    });
  });

  test('finds services, destinations in their order, connections and counters as they were', () => {
    const before = fresh((plane) => {
      serve(plane, [server, other, '10.244.2.22']);
      for (const port of [1, 2, 3, 4]) new Talk(plane, { port: 1000 + port }).establish();
      return { services: plane.plane.services(), connections: connections(plane).length };
    });
    session((plane) => {
      assert.deepEqual(plane.plane.services(), before.services);
      assert.equal(connections(plane).length, before.connections);
      assert.deepEqual(addresses(plane), [server, other, '10.244.2.22']);
    });
  });

  test('goes on with round robin where the last one stopped', () => {
    const first = fresh((plane) => {
      serve(plane, [server, other, '10.244.2.22']);
      return [1, 2].map((port) => new Talk(plane, { port: 1000 + port }).to('S'));
    });
    assert.deepEqual(first, ['10.244.2.22:8080', `${other}:8080`]);
    session((plane) => {
      assert.equal(new Talk(plane, { port: 2000 }).to('S'), `${server}:8080`);
    });
  });

  test('keeps the cursor of round robin through a change of the list', () => {
    const service = fresh((plane) => {
      const key = serve(plane, [server, other]);
      assert.equal(new Talk(plane, { port: 1000 }).to('S'), `${other}:8080`);
      return key;
    });
    session((plane) => {
      add(plane, service, '10.244.2.22');
      assert.equal(new Talk(plane, { port: 2000 }).to('S'), `${server}:8080`);
      assert.equal(new Talk(plane, { port: 2001 }).to('S'), '10.244.2.22:8080');
    });
  });

  test('finds removed destinations in the trash, and revives them with their connections', () => {
    const service = fresh((plane) => {
      const key = serve(plane, [server]);
      new Talk(plane).establish();
      remove(plane, key);
      return key;
    });
    session((plane) => {
      assert.deepEqual(addresses(plane), []);
      assert.equal(new Talk(plane).to('A'), 'drop');
      add(plane, service);
      assert.equal(new Talk(plane).to('A'), `${server}:8080`);
      assert.deepEqual(counts(plane), [1, 0]);
      assert.equal(destination(plane).statistics.connections, 1n);
    });
  });

  test('schedules to a destination that the last one had no time to put into the table', () => {
    for (const scheduler of ['rr', 'sh'] as const) {
      fresh((plane) => {
        const key = plane.serve('tcp', `${virtual}:80`, [`${server}:8080`], { scheduler });
        const services = plane.plane.programs.maps.get('services');
        const [entry] = [...services.entries()].map(
          ([id, value]) => [Buffer.from(id), Buffer.from(value)] as const,
        );
        assert.ok(entry);
        add(plane, key, other);
        services.update(...entry);
        assert.deepEqual(targets(plane), [`${server}:8080`]);
      }, roomy);
      session((plane) => assert.deepEqual(targets(plane), [`${server}:8080`, `${other}:8080`]), roomy);
    }
  });

  test('removes destinations of a service that the last one deleted, and had no time for them', () => {
    fresh((plane) => {
      serve(plane);
      new Talk(plane).establish();
      const services = plane.plane.programs.maps.get('services');
      for (const key of [...services.keys()].map((each) => Buffer.from(each))) services.delete(key);
    });
    session((plane) => {
      assert.deepEqual(plane.plane.configuration(), []);
      assert.equal(new Talk(plane).to('A'), 'drop');
      serve(plane);
      assert.deepEqual(addresses(plane), [server]);
      assert.equal(new Talk(plane).to('A'), `${server}:8080`);
      assert.deepEqual(counts(plane), [1, 0]);
    });
  });

  test('knows nothing of source ranges that the last one had no time to have its service ask for', () => {
    const service = fresh((plane) => {
      const key = serve(plane);
      const services = plane.plane.programs.maps.get('services');
      const [entry] = [...services.entries()].map(
        ([id, value]) => [Buffer.from(id), Buffer.from(value)] as const,
      );
      assert.ok(entry);
      const [written] = plane.plane.configuration();
      assert.ok(written);
      const { destinations: _, ...definition } = written;
      const edited = {
        ...definition,
        sourceRanges: [{ family: 4, address: '192.0.2.0', length: 24 }],
      } as const;
      plane.apply({ do: 'edit-service', service: edited });
      services.update(...entry);
      assert.equal(plane.plane.configurationOf(key)?.sourceRanges?.length, 1);
      return edited;
    });
    session((plane) => {
      assert.equal(plane.plane.configurationOf(service)?.sourceRanges, undefined);
      assert.equal([...plane.plane.programs.maps.get('source_ranges').keys()].length, 0);
      plane.apply({ do: 'edit-service', service });
      assert.equal(new Talk(plane).to('S'), 'drop');
      assert.equal(new Talk(plane, { client: '192.0.2.7' }).to('S'), `${server}:8080`);
    });
  });

  test('gives no new service a part in what a removed one left', () => {
    fresh((plane) => {
      const key = serve(plane, [server]);
      new Talk(plane).establish();
      plane.apply({ do: 'delete-service', service: key });
    });
    session((plane) => {
      serve(plane, [other]);
      assert.deepEqual(addresses(plane), [other]);
      assert.equal(plane.plane.services()[0]?.statistics.connections, 0n);
    });
  });

  test('has its own settings, and the sizes of those who made the maps', () => {
    fresh((plane) => serve(plane, [server]));
    session(
      (plane) => {
        new Talk(plane).establish();
        assert.equal(connections(plane)[0]?.expiresInMs, 50_000);
        assert.equal(plane.plane.connectionTableSize, tiny.connections);
      },
      {
        ...pinned,
        sizes: { ...tiny, connections: 128 },
        timeouts: { tcpSeconds: 50, tcpFinSeconds: 60, udpSeconds: 70 },
      },
    );
  });

  test('refuses maps of another layout, and names the remedy', () => {
    fresh((plane) => writeLayoutVersion(plane, 999n));
    assert.throws(
      () => session(() => {}),
      (error) => {
        assert.ok(error instanceof LayoutError);
        assert.equal(error.code, 'BPVS_LAYOUT');
        assert.match(error.message, /layout 999.*`bpvs cleanup` removes them/s);
        assert.ok(error.message.includes(pinDirectory));
        return true;
      },
    );
    removeDataPlane(pinDirectory);
    assert.ok(!existsSync(pinDirectory));
    fresh((plane) => assert.deepEqual(plane.plane.services(), []));
  });

  test('refuses maps of a layout that lacks one of its own as it refuses any other layout', () => {
    fresh((plane) => writeLayoutVersion(plane, 0n));
    unlinkSync(`${pinDirectory}/maps/destination_loads`);
    assert.throws(() => session(() => {}), LayoutError);
    removeDataPlane(pinDirectory);
  });

  test('can be closed twice', () => {
    const plane = new TestPlane({ sizes: tiny });
    plane.plane.close();
    plane.plane.close();
  });
});

function operationsFor(
  at: string,
  destinations: readonly string[],
  scheduler: 'rr' | 'sh' | 'mh' = 'rr',
): Operation[] {
  const service: VirtualServiceKey = { protocol: 'tcp', ...socketAddress(at) };
  return [
    { do: 'add-service', service: { ...service, scheduler, schedulerFlags: [], noDestination: 'reject' } },
    ...destinations.map((address): Operation => {
      const destination = { ...socketAddress(`${address}:8080`), weight: 1, forwarding: 'masq' as const };
      return { do: 'add-destination', service, destination };
    }),
  ];
}

/** The operations that failed, each with its code. */
function failed(plane: TestPlane, operations: readonly Operation[]): [number, string][] {
  return plane.plane.apply(operations).map(({ operation, error }) => {
    assert.ok('code' in error);
    return [operations.indexOf(operation), String(error.code)];
  });
}

function to(plane: TestPlane, at: string, port: number): string {
  const { address, port: virtualPort } = socketAddress(at);
  const packet = { source: '10.9.9.9', sourcePort: port, destination: address, destinationPort: virtualPort };
  return plane.ingress(buildPacket({ ...packet, protocol: 'tcp', flags: 'S' })).verdict;
}

/** What must be the same before and after an operation that failed. */
function everything(plane: TestPlane) {
  const { maps } = plane.plane.programs;
  return {
    services: plane.plane.services(),
    destinations: [...maps.get('destinations').entries()].map(([, value]) => value.toString('hex')),
  };
}

suite('a map that is full', { skip: missingForBpf() ?? false }, () => {
  test('services: ENOSPC for the service that does not fit, ESRCH for its destinations, the others work on', () => {
    using plane = new TestPlane({ sizes: { ...tiny, services: 2 } });
    const operations = [
      ...operationsFor('10.96.0.1:80', [server]),
      ...operationsFor('10.96.0.2:80', [server]),
      ...operationsFor('10.96.0.3:80', [server]),
    ];
    assert.deepEqual(failed(plane, operations), [
      [4, 'ENOSPC'],
      [5, 'ESRCH'],
    ]);
    assert.equal(plane.plane.services().length, 2);
    assert.equal(to(plane, '10.96.0.2:80', 1000), 'pass');
    plane.apply({ do: 'delete-service', service: { protocol: 'tcp', ...socketAddress('10.96.0.1:80') } });
    assert.deepEqual(failed(plane, operationsFor('10.96.0.3:80', [])), []);
  });

  test('destinations: ENOSPC for those that do not fit, the others of the same service are there', () => {
    using plane = new TestPlane({ sizes: tiny });
    const list = ['10.244.2.1', '10.244.2.2', '10.244.2.3', '10.244.2.4', '10.244.2.5', '10.244.2.6'];
    assert.deepEqual(failed(plane, operationsFor('10.96.0.1:80', list)), [
      [5, 'ENOSPC'],
      [6, 'ENOSPC'],
    ]);
    assert.deepEqual(addresses(plane), list.slice(0, 4));
    assert.equal(to(plane, '10.96.0.1:80', 1000), 'pass');
  });

  test('places: a new service whose first destination does not fit is there without it, and leaves no destination behind', () => {
    using plane = new TestPlane({ sizes: { ...tiny, places: 400 } });
    assert.deepEqual(failed(plane, operationsFor('10.96.0.1:80', [server], 'sh')), []);
    const before = everything(plane);
    const second = operationsFor('10.96.0.2:80', [server], 'sh');
    assert.deepEqual(failed(plane, second), [[1, 'ENOSPC']]);
    assert.equal(plane.plane.services().length, 2);
    assert.deepEqual(everything(plane).destinations, before.destinations);
    assert.equal(to(plane, '10.96.0.1:80', 1000), 'pass');
    assert.equal(to(plane, '10.96.0.2:80', 1000), 'redirect');
    assert.deepEqual(failed(plane, second.slice(1)), [[0, 'ENOSPC']]);
  });

  test('places: a new service that does not fit at all leaves nothing behind', () => {
    using plane = new TestPlane({ sizes: { ...tiny, places: 8 } });
    assert.deepEqual(failed(plane, operationsFor('10.96.0.1:80', [])), []);
    const before = everything(plane);
    const second = operationsFor('10.96.0.2:80', [server]);
    for (let times = 0; times < 2; times++) {
      assert.deepEqual(failed(plane, second), [
        [0, 'ENOSPC'],
        [1, 'ESRCH'],
      ]);
      assert.deepEqual(everything(plane), before);
      assert.deepEqual(
        plane.plane.configuration().map(({ address }) => address),
        ['10.96.0.1'],
      );
    }
    assert.equal(to(plane, '10.96.0.2:80', 1000), 'pass');
  });

  test('places: where nothing new fits, a destination is removed all the same', () => {
    using plane = new TestPlane({ sizes: { ...tiny, services: 70, destinations: 140, places: 64 * 4096 } });
    const services = Array.from({ length: 64 }, (_, i) =>
      operationsFor(`10.96.0.${1 + i}:80`, [server, other], 'mh'),
    );
    assert.deepEqual(failed(plane, services.slice(0, 63).flat()), []);
    assert.deepEqual(failed(plane, services[63] ?? []), [
      [0, 'ENOSPC'],
      [1, 'ESRCH'],
      [2, 'ESRCH'],
    ]);
    const service: VirtualServiceKey = { protocol: 'tcp', ...socketAddress('10.96.0.1:80') };
    const destination = socketAddress(`${server}:8080`);
    assert.deepEqual(failed(plane, [{ do: 'delete-destination', service, destination }]), []);
    const first = plane.plane.services().find((each) => each.address === service.address);
    assert.deepEqual(
      first?.destinations.map(({ address }) => address),
      [other],
    );
  });

  test('places: an edit or a removal whose table does not fit changes nothing', () => {
    using plane = new TestPlane({ sizes: { ...tiny, places: 336 } });
    const [addService, ...destinations] = operationsFor('10.96.0.1:80', [server, other], 'sh');
    assert.ok(addService?.do === 'add-service');
    assert.deepEqual(failed(plane, [addService, ...destinations]), []);
    assert.deepEqual(failed(plane, operationsFor('10.96.0.2:80', [])), []);
    const before = everything(plane);
    const { service } = addService;
    const first = { ...socketAddress(`${server}:8080`), weight: 7, forwarding: 'masq' as const };
    assert.deepEqual(
      failed(plane, [
        { do: 'edit-destination', service, destination: first },
        { do: 'delete-destination', service, destination: first },
        { do: 'add-destination', service, destination: { ...first, port: 9090 } },
        { do: 'edit-service', service: { ...service, scheduler: 'dh' } },
      ]),
      [
        [0, 'ENOSPC'],
        [1, 'ENOSPC'],
        [2, 'ENOSPC'],
        [3, 'ENOSPC'],
      ],
    );
    assert.deepEqual(everything(plane), before);
    assert.deepEqual(failed(plane, [{ do: 'add-destination', service, destination: first }]), [
      [0, 'EEXIST'],
    ]);
  });
});

suite('explain', { skip: missingForBpf() ?? false }, () => {
  test('changes nothing: no connection, no counter, no cursor, no packet', () => {
    using plane = new TestPlane({ sizes: tiny });
    serve(plane, [server, other]);
    new Talk(plane).establish();
    const state = () => ({
      ...everything(plane),
      connections: connections(plane),
      reasons: plane.plane.view.reasons(),
      places: [...plane.plane.programs.maps.get('places').entries()].map(([, value]) =>
        value.toString('hex'),
      ),
    });
    const before = state();
    const program = plane.plane.programs.program('explain');
    for (const flags of ['S', 'A', 'R']) {
      for (const port of [40000, 40001]) {
        const packet = buildPacket({ ...new Talk(plane, { port }).request, flags });
        const { data } = program.testRun({ data: packet, context: new Uint8Array(192) });
        assert.deepEqual([...data], [...packet]);
      }
    }
    assert.deepEqual(state(), before);
    assert.deepEqual(states(plane), ['ESTABLISHED']);
    assert.equal(virtual, before.services[0]?.address);
  });
});
