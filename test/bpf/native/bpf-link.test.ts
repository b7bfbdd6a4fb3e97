// SPDX-License-Identifier: Apache-2.0
// Links to devices and control groups, and classifiers on a clsact qdisc.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { attachTc, BpfLink, detachTc, queryTc, xdpFlags } from '../../../src/native/bpf-link.ts';
import { openObject } from '../../../src/native/bpf-object.ts';
import { BpfProgram } from '../../../src/native/bpf-program.ts';
import { listLinks } from '../../../src/native/netlink.ts';
import { compileSample, inNetworkNamespace, ip, pinDirectory } from './sample.ts';

inNetworkNamespace(import.meta.filename, () => {
  const object = openObject(compileSample());
  object.load();
  after(() => object.close());

  /** Makes a veth pair and gives one end's index. */
  function makeDevice(name: string): number {
    ip(`link add ${name} type veth peer name ${name}-peer`);
    const device = listLinks().find((link) => link.name === name);
    assert(device !== undefined);
    return device.index;
  }

  test('a tcx link names its device and program, takes another program, and detaches', () => {
    const ifindex = makeDevice('tcx');
    using grow = object.program('grow');
    using pass = object.program('pass');
    using link = BpfLink.attachTcx(grow, ifindex, 'egress');
    const { id } = link.info();
    assert.deepEqual(link.info(), { id, type: 'tcx', programId: grow.id, ifindex, attachType: 47 });
    link.update(pass);
    assert.equal(link.info().programId, pass.id);
    link.detach();
    assert.equal(link.info().ifindex, 0);
    assert.throws(() => link.update(grow), { code: 'ENOLINK' });
  });

  test('a device takes several programs by tcx, each of them once a direction', () => {
    const ifindex = makeDevice('several');
    using grow = object.program('grow');
    using pass = object.program('pass');
    using first = BpfLink.attachTcx(grow, ifindex, 'ingress');
    using second = BpfLink.attachTcx(pass, ifindex, 'ingress');
    assert.throws(() => BpfLink.attachTcx(pass, ifindex, 'ingress'), { code: 'EEXIST' });
    using third = BpfLink.attachTcx(pass, ifindex, 'egress');
    assert.equal(first.info().attachType, 46);
    assert.equal(second.info().attachType, 46);
    assert.equal(third.info().attachType, 47);
  });

  test('a pinned link stays attached when its descriptor goes, and opens as the same link', () => {
    const pin = join(pinDirectory(), 'link');
    const ifindex = makeDevice('pinned');
    using pass = object.program('pass');
    const link = BpfLink.attachTcx(pass, ifindex, 'ingress');
    const info = link.info();
    link.pin(pin);
    link.close();
    link.close();
    assert.throws(() => link.info(), { code: 'EBADF' });
    using opened = BpfLink.openPinned(pin);
    assert.deepEqual(opened.info(), info);
    assert.throws(() => BpfLink.openPinned(`${pin}-of-nothing`), { code: 'ENOENT' });
  });

  test('the link of a device that went tells no device', () => {
    const ifindex = makeDevice('going');
    using pass = object.program('pass');
    using link = BpfLink.attachTcx(pass, ifindex, 'ingress');
    ip('link delete going');
    assert.equal(link.info().ifindex, 0);
    assert.throws(() => BpfLink.attachTcx(pass, ifindex, 'ingress'), { code: 'ENODEV' });
  });

  test('a device has one XDP link, the next one is refused as busy', () => {
    const ifindex = makeDevice('express');
    using drop = object.program('drop');
    using link = BpfLink.attachXdp(drop, ifindex, xdpFlags.generic);
    const { id } = link.info();
    assert.deepEqual(link.info(), { id, type: 'xdp', programId: drop.id, ifindex });
    assert.throws(() => BpfLink.attachXdp(drop, ifindex, xdpFlags.generic), {
      name: 'SystemError',
      code: 'EBUSY',
      operation: 'bpf_link_create drop',
    });
  });

  test('a control group takes a program by section name', () => {
    const root = /^\S+ (\S+) cgroup2 /m.exec(readFileSync('/proc/mounts', 'utf8'))?.[1];
    const cgroup = `${root}/bpvs-native-${process.pid}`;
    mkdirSync(cgroup);
    after(() => rmdirSync(cgroup));
    using allow = object.program('allow');
    using link = BpfLink.attachCgroup(allow, cgroup, 'cgroup/connect4');
    const { id } = link.info();
    assert.deepEqual(link.info(), { id, type: 'cgroup', programId: allow.id, attachType: 10 });
    assert.throws(() => BpfLink.attachCgroup(allow, cgroup, 'cgroup/connect6'), { code: 'EINVAL' });
    assert.throws(() => BpfLink.attachCgroup(allow, cgroup, 'nothing'), { code: 'EINVAL' });
  });

  test('a clsact classifier is attached, replaced, found and detached', () => {
    const ifindex = makeDevice('clsact');
    using grow = object.program('grow');
    using pass = object.program('pass');
    const filter = { ifindex, direction: 'ingress', handle: 1, priority: 50 } as const;
    assert.equal(queryTc(filter), undefined);
    assert.equal(detachTc(filter), false);
    attachTc(grow, filter);
    assert.equal(queryTc(filter), grow.id);
    attachTc(pass, filter);
    assert.equal(queryTc(filter), pass.id);
    assert.equal(queryTc({ ...filter, direction: 'egress' }), undefined);
    assert.equal(detachTc(filter), true);
    assert.equal(queryTc(filter), undefined);
  });

  test('a closed program attaches nowhere', () => {
    const drop = object.program('drop');
    drop.close();
    assert(drop instanceof BpfProgram);
    assert.throws(() => BpfLink.attachXdp(drop, 1), { code: 'EBADF' });
  });
});
