// SPDX-License-Identifier: Apache-2.0
// Packets of local pods with --local-redirect: sent straight, in both directions, or else left to the stack.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { enums, layouts } from '../../src/dataplane/bpf/layouts.ts';
import { encode } from '../../src/dataplane/bpf/struct.ts';
import { listLinks } from '../../src/native/netlink.ts';
import { buildPacket, type PacketDescription, printPacket } from '../lib/packet.ts';
import { TestPlane } from '../lib/plane.ts';
import { inNetworkNamespace, ip, u32 } from './native/sample.ts';

const rows = [
  {
    family: 'v4',
    outside: '192.0.2.100',
    node: '192.0.2.11/24',
    virtual: '198.51.100.80',
    pods: ['10.244.1.20', '10.244.1.21'],
    format: (address: string, port: number) => `${address}:${port}`,
  },
  {
    family: 'v6',
    outside: 'fd00:192:0:2::100',
    node: 'fd00:192:0:2::11/64',
    virtual: 'fd00:198:51:100::80',
    pods: ['fd00:10:244:1::20', 'fd00:10:244:1::21'],
    format: (address: string, port: number) => `[${address}]:${port}`,
  },
] as const;

const macs = { outside: '02:00:00:00:00:64', pods: ['02:00:00:00:00:20', '02:00:00:00:00:21'] } as const;

inNetworkNamespace(import.meta.filename, () => {
  for (const path of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding'])
    writeFileSync(`/proc/sys/net/${path}`, '1');
  for (const device of ['all', 'default']) writeFileSync(`/proc/sys/net/ipv6/conf/${device}/accept_dad`, '0');
  for (const device of ['nic', 'pod', 'two']) {
    ip(`link add ${device}0 type veth peer name ${device}1`);
    ip(`link set ${device}1 up`);
    ip(`link set ${device}0 up`);
  }
  ip('link set lo up');
  ip('address add 169.254.1.1/32 dev pod0');
  ip('address add 169.254.1.1/32 dev two0');
  for (const { node, outside, pods } of rows) {
    ip(`address add ${node} dev nic0${node.includes(':') ? ' nodad' : ''}`);
    ip(`neighbour add ${outside} lladdr ${macs.outside} dev nic0 nud permanent`);
    for (const [i, device] of (['pod0', 'two0'] as const).entries()) {
      ip(`route add ${pods[i]} dev ${device}`);
      ip(`neighbour add ${pods[i]} lladdr ${macs.pods[i]} dev ${device} nud permanent`);
    }
  }
  const links = new Map(listLinks().map((link) => [link.name, link]));
  const device = (name: string) => {
    const link = links.get(name);
    assert.ok(link);
    return { index: link.index, mac: link.address.toString('hex').replace(/..(?!$)/g, '$&:') };
  };
  const [nic, podDevice, otherDevice] = [device('nic0'), device('pod0'), device('two0')];
  const plane = new TestPlane({ redirectsLocally: true });
  after(() => plane[Symbol.dispose]());
  const { maps } = plane.plane.programs;
  const setPodDevice = ({ index }: { readonly index: number }) =>
    maps.get('pod_devices').update(u32(index), u32(enums.pod_device.POD_DEVICE_PAIR));
  maps.get('uplinks').update(u32(nic.index), encode(layouts.uplink, {}));
  setPodDevice(podDevice);
  setPodDevice(otherDevice);
  let nextPort = 40000;

  for (const { family, outside, virtual, pods, format } of rows) {
    for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
      plane.serve(protocol, format(virtual, 80), [format(pods[0], 8080)]);
      for (const from of ['outside', 'pod'] as const) {
        const clientDevice = from === 'outside' ? nic : otherDevice;
        const client = from === 'outside' ? outside : pods[1];
        /** A connection of its own: what its ends send, and what becomes of that. */
        const talk = () => {
          const sourcePort = nextPort++;
          const request: PacketDescription = {
            destinationMac: clientDevice.mac,
            source: client,
            sourcePort,
            destination: virtual,
            destinationPort: 80,
            protocol,
            flags: protocol === 'sctp' ? 'INIT' : 'S',
            payload: new TextEncoder().encode('the quick brown fox'),
          };
          const turnedRequest: PacketDescription = {
            ...request,
            destination: pods[0],
            destinationPort: 8080,
          };
          const reply: PacketDescription = {
            ...request,
            destinationMac: podDevice.mac,
            source: pods[0],
            sourcePort: 8080,
            destination: client,
            destinationPort: sourcePort,
            flags: protocol === 'sctp' ? 'INIT-ACK' : 'SA',
          };
          const turnedReply: PacketDescription = { ...reply, source: virtual, sourcePort: 80 };

          return { request, turnedRequest, reply, turnedReply };
        };

        const title = `local_ingress ${family} ${protocol} from ${from}`;

        test(`${title}: a request → into the pod's device, one hop older, with its link addresses`, () => {
          const { request, turnedRequest } = talk();
          const { verdict, packet } = plane.arrive(buildPacket(request), clientDevice.index);
          assert.equal(verdict, 'redirect');
          const link = { sourceMac: podDevice.mac, destinationMac: macs.pods[0], hopLimit: 63 };
          assertSame(packet, { ...turnedRequest, ...link });
        });

        test(`${title}: the reply → to the client's device, as from the virtual address`, () => {
          const { request, reply, turnedReply } = talk();
          plane.arrive(buildPacket(request), clientDevice.index);
          const { verdict, packet } = plane.arrive(buildPacket(reply), podDevice.index);
          assert.equal(verdict, 'redirect');
          const link = { sourceMac: otherDevice.mac, destinationMac: macs.pods[1] };
          assertSame(packet, { ...turnedReply, hopLimit: 63, ...(from === 'pod' && link) });
        });

        test(`${title}: a reply by another device than the pod's, for another host, without a hop left, too long for the way out → left to the stack`, () => {
          const { request, reply } = talk();
          plane.arrive(buildPacket(request), clientDevice.index);
          for (const [packet, index] of [
            [{ ...reply, destinationMac: nic.mac }, nic.index],
            [{ ...reply, destinationMac: otherDevice.mac }, otherDevice.index],
            [{ ...reply, destinationMac: macs.outside }, podDevice.index],
            [{ ...reply, hopLimit: 1 }, podDevice.index],
            ...(from === 'outside'
              ? ([[{ ...reply, payload: new Uint8Array(1600) }, podDevice.index]] as const)
              : []),
          ] as const) {
            const outcome = plane.arrive(buildPacket(packet), index);
            assert.equal(outcome.verdict, 'pass');
            assertSame(outcome.packet, packet);
          }
          assert.equal(plane.arrive(buildPacket(reply), podDevice.index).verdict, 'redirect');
        });

        test(`${title}: requests without a hop left, and all to a device of nobody's → turned, and left to the stack`, () => {
          const { request, turnedRequest, reply, turnedReply } = talk();
          plane.arrive(buildPacket(request), clientDevice.index);
          const last = { ...request, hopLimit: 1 };
          const outcome = plane.arrive(buildPacket(last), clientDevice.index);
          assert.equal(outcome.verdict, 'pass');
          assertSame(outcome.packet, { ...turnedRequest, hopLimit: 1 });
          maps.get('pod_devices').delete(u32(podDevice.index));
          assert.equal(plane.arrive(buildPacket(request), clientDevice.index).verdict, 'redirect');
          plane.advance(2); // no way is used for longer without a look
          const later = plane.arrive(buildPacket(request), clientDevice.index);
          assert.equal(later.verdict, 'pass');
          assertSame(later.packet, turnedRequest);
          assert.equal(plane.arrive(buildPacket(reply), podDevice.index).verdict, 'pass');
          const egress = plane.egress(buildPacket(reply));
          assertSame(egress.packet, turnedReply);
          setPodDevice(podDevice);
        });
      }
    }
  }
});

function assertSame(packet: Uint8Array, wanted: PacketDescription): void {
  assert.equal(printPacket(packet), printPacket(buildPacket(wanted)));
  assert.deepEqual([...packet], [...buildPacket(wanted)]);
}
