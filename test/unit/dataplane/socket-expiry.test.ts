// SPDX-License-Identifier: Apache-2.0
// Which sockets end with their destination, and what becomes of the connections of those that cannot be found.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type OrphanedSocket,
  SocketExpiry,
  type SocketTables,
} from '../../../src/dataplane/bpf/socket-expiry.ts';
import { SystemError } from '../../../src/errors.ts';
import { addressBytes, addressFamily } from '../../../src/model/address.ts';
import type { SocketProtocol } from '../../../src/native/socket-diagnostics.ts';
import type { SocketRecord } from '../../../src/native/socket-record.ts';

const address = '10.244.1.2';

function orphan(cookie: bigint, changes: Partial<OrphanedSocket> = {}): OrphanedSocket {
  return { index: Number(cookie), generation: 1, protocol: 'udp', cookie, address, port: 53, ...changes };
}

function socket(cookie: bigint, peer = address, peerPort = 53): SocketRecord {
  const family = addressFamily(peer);
  const bytes = Buffer.from(addressBytes(peer).subarray(0, family === 4 ? 4 : 16));
  return { family, cookie, peer: bytes, peerPort, id: Buffer.alloc(48) };
}

/** A host with these sockets; destroying and ending take them away, as in the kernel. */
class FakeHost implements SocketTables {
  listed: OrphanedSocket[];
  connected: SocketRecord[];
  readonly asked: string[] = [];
  readonly destroyed: bigint[] = [];
  readonly ended: number[] = [];
  refusal: SystemError | undefined;
  /** How many fit one list. */
  room = 1024;

  constructor(listed: readonly OrphanedSocket[], connected: readonly SocketRecord[]) {
    this.listed = [...listed];
    this.connected = [...connected];
  }

  orphans(): readonly OrphanedSocket[] {
    return this.listed.slice(0, this.room);
  }

  sockets(family: 4 | 6, protocol: SocketProtocol, peerPort: number): readonly SocketRecord[] {
    this.asked.push(`${protocol} ${peerPort} v${family}`);
    return this.connected.filter((each) => each.family === family && each.peerPort === peerPort);
  }

  destroy(_protocol: SocketProtocol, { cookie }: SocketRecord): void {
    if (this.refusal) throw this.refusal;
    this.connected = this.connected.filter((each) => each.cookie !== cookie);
    this.destroyed.push(cookie);
  }

  endConnection({ index }: OrphanedSocket): void {
    this.listed = this.listed.filter((each) => each.index !== index);
    this.ended.push(index);
  }
}

function expiryOf(host: FakeHost): SocketExpiry {
  const expiry = new SocketExpiry(host);
  expiry.destinationsRemoved();
  return expiry;
}

test('a socket of the connection table is destroyed, whatever its family, and its connection ends', () => {
  const six = 'fd00:10:244:1::2';
  const host = new FakeHost(
    [orphan(1n), orphan(2n, { address: six }), orphan(3n)],
    [socket(1n), socket(2n, six), socket(3n, `::ffff:${address}`)],
  );
  assert.equal(expiryOf(host).expire(), 3);
  assert.deepEqual(host.destroyed, [1n, 2n, 3n]);
  assert.deepEqual(host.ended, [1, 2, 3]);
});

test('a socket that talks to the same pod directly, or to somebody else by now, is left alone', () => {
  const host = new FakeHost(
    [orphan(1n), orphan(2n), orphan(3n)],
    [socket(1n), socket(2n, '10.244.1.3'), socket(3n, address, 54), socket(4n)],
  );
  assert.equal(expiryOf(host).expire(), 1);
  assert.deepEqual(host.destroyed, [1n]);
});

test('nothing is looked at where no destination was removed, and one dump a family is enough for a port', () => {
  const host = new FakeHost([], []);
  assert.equal(new SocketExpiry(host).expire(), 0);
  host.listed = [orphan(1n), orphan(2n), orphan(3n, { protocol: 'tcp' })];
  expiryOf(host).expire();
  assert.deepEqual(host.asked, ['udp 53 v4', 'udp 53 v6', 'tcp 53 v4', 'tcp 53 v6']);
});

test('a socket that was connecting during the first round is found by the second', () => {
  const host = new FakeHost([orphan(1n)], []);
  const expiry = expiryOf(host);
  assert.equal(expiry.expire(), 0);
  host.connected = [socket(1n)];
  host.listed = [orphan(1n), orphan(2n)];
  assert.equal(expiry.expire(), 1);
  assert.deepEqual(host.ended, [1]);
});

test('a connection whose socket is not found twice is ended, and then there is rest', () => {
  const host = new FakeHost([orphan(1n)], []);
  const expiry = expiryOf(host);
  for (let round = 0; round < 4; round++) expiry.expire();
  assert.deepEqual(host.ended, [1]);
  assert.deepEqual(host.asked, ['udp 53 v4', 'udp 53 v6', 'udp 53 v4', 'udp 53 v6']);
});

test('an entry that has a new tenant since is a connection that was not looked for before', () => {
  const host = new FakeHost([orphan(1n)], []);
  const expiry = expiryOf(host);
  expiry.expire();
  host.listed = [orphan(1n, { generation: 2 })];
  expiry.expire();
  assert.deepEqual(host.ended, []);
});

test('more sockets than fit one list are destroyed in one round', () => {
  const cookies = [1n, 2n, 3n, 4n, 5n];
  const host = new FakeHost(
    cookies.map((cookie) => orphan(cookie)),
    cookies.map((cookie) => socket(cookie)),
  );
  host.room = 2;
  assert.equal(expiryOf(host).expire(), 5);
  assert.deepEqual(host.ended, [1, 2, 3, 4, 5]);
});

test('a socket that is gone when it is to be destroyed counts as not found', () => {
  const host = new FakeHost([orphan(1n)], [socket(1n)]);
  host.refusal = new SystemError(
    'SOCK_DESTROY',
    2,
    'ENOENT',
    'SOCK_DESTROY: No such file or directory (ENOENT)',
  );
  const expiry = expiryOf(host);
  assert.equal(expiry.expire(), 0);
  assert.deepEqual(host.ended, []);
});

test('a kernel that refuses is an error, and the connections stay as they are', () => {
  const host = new FakeHost([orphan(1n)], [socket(1n)]);
  host.refusal = new SystemError(
    'SOCK_DESTROY',
    95,
    'EOPNOTSUPP',
    'SOCK_DESTROY: Operation not supported (EOPNOTSUPP)',
  );
  assert.throws(() => expiryOf(host).expire(), { code: 'EOPNOTSUPP' });
  assert.deepEqual(host.ended, []);
});
