// SPDX-License-Identifier: Apache-2.0
// Links, addresses and their changes, in a network namespace of their own.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { netnsCookie } from '../../../src/native/namespace.ts';
import { listAddresses, listLinks, watchNetwork } from '../../../src/native/netlink.ts';
import type { LinkRecord, NetworkEvent } from '../../../src/native/network-records.ts';
import { inNetworkNamespace, ip } from './sample.ts';

const netlinkModule = new URL('../../../src/native/netlink.ts', import.meta.url);

inNetworkNamespace(import.meta.filename, () => {
  function linkOf(name: string): LinkRecord {
    const link = listLinks().find((candidate) => candidate.name === name);
    assert(link !== undefined, `a link ${name}`);
    return link;
  }

  /** Watches until an event is the wanted one; the watch is closed from within. */
  function next<T extends NetworkEvent>(isWanted: (event: NetworkEvent) => event is T): Promise<T> {
    return new Promise((resolve, reject) => {
      const watch = watchNetwork((event) => {
        if (!isWanted(event)) return;
        watch.close();
        resolve(event);
      }, reject);
    });
  }

  test('the list of links has lo, a veth pair, and a bridge with its port', () => {
    ip('link add left type veth peer name right');
    ip('link add bridge type bridge');
    ip('link set left master bridge address 02:00:00:00:00:01 mtu 1400 up');
    const lo = linkOf('lo');
    assert.equal(lo.isLoopback, true);
    assert.equal(lo.type, 772);
    assert.equal(lo.kind, '');
    const left = linkOf('left');
    assert.deepEqual(left, {
      index: left.index,
      name: 'left',
      kind: 'veth',
      slaveKind: 'bridge',
      type: 1,
      address: Buffer.from('020000000001', 'hex'),
      masterIndex: linkOf('bridge').index,
      linkIndex: linkOf('right').index,
      linkNamespaceId: undefined,
      mtu: 1400,
      isUp: true,
      isLoopback: false,
    });
    assert.equal(linkOf('right').isUp, false);
    assert.equal(linkOf('bridge').kind, 'bridge');
    ip('link delete left');
    ip('link delete bridge');
  });

  test('the list of addresses has each family’s own addresses', () => {
    ip('link add own type veth peer name own-peer');
    ip('address add 192.0.2.1 peer 192.0.2.9/32 dev own');
    ip('address add 2001:db8::1/64 dev own nodad preferred_lft 0');
    const ifindex = linkOf('own').index;
    const found = listAddresses().filter((address) => address.ifindex === ifindex);
    assert.deepEqual(
      found.map(({ family, address, prefixLength, scope, isDeprecated }) => ({
        family,
        address: address.toString('hex'),
        prefixLength,
        scope,
        isDeprecated,
      })),
      [
        { family: 4, address: 'c0000201', prefixLength: 32, scope: 0, isDeprecated: false },
        {
          family: 6,
          address: '20010db8000000000000000000000001',
          prefixLength: 64,
          scope: 0,
          isDeprecated: true,
        },
      ],
    );
    ip('link delete own');
  });

  test('a veth that appears, gets an address and goes is told in that order', async () => {
    const told: string[] = [];
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    using _watch = watchNetwork((event) => {
      if (event.event === 'link' && event.name === 'one' && event.isUp) told.push('up');
      if (event.event === 'address' && event.family === 4) told.push(event.address.join('.'));
      if (event.event === 'address-gone' && event.family === 4) told.push('address gone');
      if (event.event === 'link-gone' && event.name === 'one') {
        told.push('gone');
        resolve();
      }
    }, reject);
    ip('link add one type veth peer name two');
    ip('link set one up');
    ip('address add 192.0.2.7/24 dev one');
    ip('link delete one');
    await promise;
    assert.deepEqual([...new Set(told)], ['up', '192.0.2.7', 'address gone', 'gone']);
  });

  test('a port that leaves its bridge is no link that is gone', async () => {
    ip('link add bridge type bridge');
    ip('link add port type veth peer name port-peer');
    ip('link set port master bridge');
    const port = linkOf('port').index;
    const gone: number[] = [];
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    using _watch = watchNetwork((event) => {
      if (event.event !== 'link-gone') return;
      gone.push(event.index);
      if (event.name === 'bridge') resolve();
    }, reject);
    ip('link set port nomaster');
    ip('link delete bridge');
    await promise;
    assert(!gone.includes(port));
    ip('link delete port');
  });

  test('a watch may be closed from its own event, and closed again', async () => {
    const event = next(
      (candidate): candidate is LinkRecord & { event: 'link' } => candidate.event === 'link',
    );
    ip('link add closing type veth peer name closing-peer');
    assert.equal((await event).kind, 'veth');
    ip('link delete closing');
  });

  test('events lost to a full socket are told as an overrun, and later events still come', async () => {
    const overrun = Promise.withResolvers<void>();
    const later = Promise.withResolvers<void>();
    const fail = (error: Error) => {
      overrun.reject(error);
      later.reject(error);
    };
    using _watch = watchNetwork((event) => {
      if (event.event === 'overrun') overrun.resolve();
      if (event.event === 'link' && event.mtu === 20_000) later.resolve();
    }, fail);
    const commands = Array.from({ length: 1000 }, (_, i) => `link set lo mtu ${10_000 + i}\n`);
    spawnSync('ip', ['-batch', '-'], { input: commands.join('') });
    await overrun.promise;
    ip('link set lo mtu 20000');
    await later.promise;
  });

  test('an error thrown by a listener is an uncaught exception, not lost', () => {
    const script = `import { watchNetwork } from '${netlinkModule}';
      process.on('uncaughtException', (error) => process.exit(error.message === 'listener' ? 42 : 1));
      watchNetwork(() => { throw new Error('listener'); }, () => {});
      (await import('node:child_process')).spawnSync('ip', ['link', 'set', 'lo', 'mtu', '9000']);`;
    assert.equal(
      spawnSync(process.execPath, ['--input-type=module', '-e', script], { timeout: 5000 }).status,
      42,
    );
  });

  test('an unreferenced watch lets the process end, a referenced one does not', () => {
    const watching = `import { watchNetwork } from '${netlinkModule}'; const watch = watchNetwork(() => {}, () => {});`;
    const run = (script: string) =>
      spawnSync(process.execPath, ['--input-type=module', '-e', watching + script], { timeout: 2000 });
    assert.equal(run('watch.unref();').status, 0);
    assert.equal(run('watch.unref(); watch.close(); watch.close(); watch.unref();').status, 0);
    assert.equal(run('').signal, 'SIGTERM');
  });

  test('a worker thread has the addon for itself and may end while it watches', async () => {
    const script = `import(${JSON.stringify(netlinkModule.href)}).then(({ watchNetwork, listLinks }) => {
      watchNetwork(() => {}, () => {});
      require('node:worker_threads').parentPort.postMessage(listLinks().length);
    });`;
    const worker = new Worker(script, { eval: true });
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    worker.once('message', resolve).once('error', reject);
    assert.equal(await promise, listLinks().length);
    assert.equal(await worker.terminate(), 1);
  });

  test('the cookie of a network namespace is its own', () => {
    const cookie = netnsCookie();
    assert.equal(netnsCookie(), cookie);
    const script = `import { netnsCookie } from '${new URL('namespace.ts', netlinkModule)}'; console.log(netnsCookie());`;
    const node = [process.execPath, '--input-type=module', '-e', script];
    const elsewhere = spawnSync('unshare', ['--net', ...node], { encoding: 'utf8' });
    assert.match(elsewhere.stdout, /^\d+n\n$/);
    assert.notEqual(elsewhere.stdout.trim(), `${cookie}n`);
  });
});
