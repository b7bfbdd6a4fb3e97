// SPDX-License-Identifier: Apache-2.0
// Sockets listed and destroyed, in a network namespace of their own.
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import {
  destroySocket,
  listConnectedSockets,
  missingForDestroying,
} from '../../../src/native/socket-diagnostics.ts';
import { inNetworkNamespace, ip } from './sample.ts';

inNetworkNamespace(import.meta.filename, () => {
  ip('link set lo up');
  const skip = missingForDestroying() ?? false;

  async function connected(type: 'udp4' | 'udp6', port: number, address: string): Promise<Socket> {
    const socket = createSocket(type);
    socket.bind(0);
    await once(socket, 'listening');
    socket.connect(port, address);
    await once(socket, 'connect');
    return socket;
  }

  const cases = [
    { title: 'v4', type: 'udp4', address: '127.0.0.1', family: 4, peer: '7f000001' },
    { title: 'v6', type: 'udp6', address: '::1', family: 6, peer: '00000000000000000000000000000001' },
    {
      title: 'mapped',
      type: 'udp6',
      address: '::ffff:127.0.0.1',
      family: 6,
      peer: '00000000000000000000ffff7f000001',
    },
  ] as const;
  for (const { title, type, address, family, peer } of cases) {
    test(`${title}: a connected UDP socket is listed with its peer, and destroyed alone`, {
      skip,
    }, async () => {
      const socket = await connected(type, 5353, address);
      const other = await connected(type, 5353, address);
      const elsewhere = await connected(type, 5354, address);
      const listed = listConnectedSockets(family, 'udp', 5353);
      assert.equal(listed.length, 2);
      assert.deepEqual(new Set(listed.map((each) => each.peer.toString('hex'))), new Set([peer]));
      const { port } = socket.address();
      const record = listed.find(({ id }) => id.readUInt16BE(0) === port);
      assert.ok(record);
      const failed = once(socket, 'error');
      destroySocket('udp', record);
      assert.equal((await failed)[0].code, 'ECONNABORTED');
      assert.throws(() => destroySocket('udp', record), { code: 'ENOENT' });
      assert.equal(listConnectedSockets(family, 'udp', 5353).length, 1);
      assert.equal(listConnectedSockets(family, 'udp', 5354).length, 1);
      for (const each of [socket, other, elsewhere]) each.close();
    });
  }

  test('a socket is not destroyed by the id of another one that had its ports before', { skip }, async () => {
    const socket = await connected('udp4', 5355, '127.0.0.1');
    const [record] = listConnectedSockets(4, 'udp', 5355);
    assert.ok(record);
    const id = Buffer.from(record.id);
    id.writeUInt32LE((id.readUInt32LE(40) ^ 1) >>> 0, 40); // its cookie
    assert.throws(() => destroySocket('udp', { ...record, id }), { code: /^(ENOENT|ESTALE)$/ });
    assert.equal(listConnectedSockets(4, 'udp', 5355).length, 1);
    socket.close();
  });

  test('both ends of a TCP connection hear of it when one is destroyed', { skip }, async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address);
    const client = connect(address.port, '127.0.0.1');
    const [[accepted]] = await Promise.all([once(server, 'connection'), once(client, 'connect')]);
    const [record, ...more] = listConnectedSockets(4, 'tcp', address.port);
    assert.ok(record);
    assert.equal(more.length, 0);
    const failures = [once(client, 'error'), once(accepted, 'error')];
    destroySocket('tcp', record);
    const codes = (await Promise.all(failures)).map(([error]) => error.code);
    assert.deepEqual(codes, ['ECONNABORTED', 'ECONNRESET']);
    server.close();
  });
});
