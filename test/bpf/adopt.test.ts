// SPDX-License-Identifier: Apache-2.0
// What outlives a process in pinned maps.
import assert from 'node:assert/strict';
import { existsSync, unlinkSync } from 'node:fs';
import { after, suite, test } from 'node:test';
import { onlyKey } from '../../src/dataplane/bpf/bpf-maps.ts';
import { removeDataPlane } from '../../src/dataplane/bpf/cleanup.ts';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import type { BpfOptions } from '../../src/dataplane/bpf/options.ts';
import { LayoutError } from '../../src/errors.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';
import {
  add,
  connections,
  counts,
  destination,
  other,
  remove,
  serve,
  server,
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
