// SPDX-License-Identifier: Apache-2.0
// What XDP is told of its devices: the map xdp_devices, as devices come, go and refuse.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, test } from 'node:test';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode } from '../../src/dataplane/bpf/struct.ts';
import { readRefusals, XdpAttachments, type XdpDevice } from '../../src/dataplane/bpf/xdp-attachments.ts';
import { listLinks } from '../../src/native/netlink.ts';
import { TestPlane } from '../lib/plane.ts';
import { inNetworkNamespace, ip, pinDirectory } from './native/sample.ts';

inNetworkNamespace(import.meta.filename, () => {
  const plane = new TestPlane();
  after(() => plane[Symbol.dispose]());
  const { programs } = plane.plane;
  const map = programs.maps.get('xdp_devices');

  function open(): XdpAttachments {
    const folder = pinDirectory();
    mkdirSync(`${folder}/links`, { recursive: true });
    return new XdpAttachments(programs, folder);
  }

  function device(name: string): XdpDevice {
    const found = listLinks().find((link) => link.name === name);
    assert.ok(found, name);
    return found;
  }

  /** A device that only the control plane knows of. */
  function imagined(index: number, masterIndex: number): XdpDevice {
    const address = Buffer.from([2, 0, 0, 0, 0, 9]);
    return { index, name: `port${index}`, kind: '', type: 1, address, masterIndex, linkIndex: 0, mtu: 1500 };
  }

  /** MAC addresses by device. */
  function told(): ReadonlyMap<number, string> {
    const devices = [...map.entries()].map(([, value]) => decode(layouts.xdp_device, value));
    return new Map(
      devices.flatMap(({ ifindex, address }) =>
        ifindex === 0 ? [] : [[ifindex, Buffer.from(address).toString('hex')]],
      ),
    );
  }

  test('the program is told of a device and of its ports, and of none when XDP goes', () => {
    ip('link add nic0 type veth peer name nic1');
    const attachments = open();
    const nic = device('nic0');
    const port = imagined(nic.index + 100, nic.index);
    const address = nic.address.toString('hex');
    const { attached, refusals } = attachments.setDevices([nic], [nic, port, device('nic1')]);
    assert.deepEqual([attached, refusals], [[nic], []]);
    assert.deepEqual(
      told(),
      new Map([
        [nic.index, address],
        [port.index, '020000000009'],
      ]),
    );
    assert.deepEqual(attachments.setDevices([], [nic, port]), {
      attached: [],
      detached: [nic.index],
      refusals: [],
    });
    assert.deepEqual(told(), new Map());
  });

  test('a new MAC address is told, and one of another device does not take the place', () => {
    ip('link add nic2 type veth peer name nic3');
    const attachments = open();
    const nic = device('nic2');
    attachments.setDevices([nic], [nic]);
    ip('link set nic2 address 02:00:00:00:00:22');
    const again = device('nic2');
    attachments.setDevices([again], [again, imagined(nic.index + 4096, nic.index)]);
    assert.deepEqual(told(), new Map([[nic.index, '020000000022']]));
    attachments.setDevices([], []);
  });

  test('XDP may send out of a NIC that it is attached to, but of none below VLAN devices and of no veth', () => {
    ip('link add nic4 type veth peer name nic5');
    const attachments = open();
    const veth = device('nic4');
    const nic = { ...veth, kind: '' };
    const vlan = { ...imagined(veth.index + 200, 0), kind: 'vlan', linkIndex: veth.index };
    const maySend = (of: XdpDevice, links: readonly XdpDevice[]) => {
      attachments.setDevices([of], [of, ...links]);
      const value = map.lookup(Buffer.from(Uint32Array.of(of.index).buffer));
      return value && decode(layouts.xdp_device, value).may_send;
    };
    assert.deepEqual([maySend(nic, []), maySend(nic, [vlan]), maySend(veth, [])], [1, 0, 0]);
    assert.equal(maySend({ ...device('lo'), kind: '' }, []), 0);
    attachments.setDevices([], []);
  });

  test('a device that refuses stays without, with the reason, whatever becomes of its MTU', () => {
    const attachments = open();
    const lo = device('lo');
    for (const mtu of [lo.mtu, lo.mtu, lo.mtu + 1]) {
      const { attached, refusals } = attachments.setDevices([{ ...lo, mtu }], [lo]);
      assert.deepEqual(attached, []);
      assert.deepEqual(
        refusals.map(({ reason }) => reason),
        ['its driver has no native XDP'],
      );
    }
    assert.deepEqual(readRefusals(map), new Map([[lo.index, 'its driver has no native XDP']]));
    attachments.setDevices([], []);
    assert.deepEqual(readRefusals(map), new Map());
  });
});
