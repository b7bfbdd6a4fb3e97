// SPDX-License-Identifier: Apache-2.0
// attach.ts OBJECT HOOK DEVICE...: runs on a node and attaches foreign programs; each line of input is answered by their counts.
import { createInterface } from 'node:readline';
import { attachTc, BpfLink } from '../../../src/native/bpf-link.ts';
import { openObject } from '../../../src/native/bpf-object.ts';
import { listLinks } from '../../../src/native/netlink.ts';

const [path = '', hook, ...names] = process.argv.slice(2);
const object = openObject(path);
object.load();
const packets = object.map('packets');
const links: BpfLink[] = [];
for (const name of names) {
  const ifindex = listLinks().find((link) => link.name === name)?.index ?? 0;
  for (const direction of ['ingress', 'egress'] as const) {
    const program = object.program(`count_${direction}`);
    if (hook === 'tcx') links.push(BpfLink.attachTcx(program, ifindex, direction));
    else attachTc(program, { ifindex, direction, handle: 1, priority: Number(hook) });
  }
}
process.stdout.write('ready\n');
createInterface({ input: process.stdin }).on('line', () => {
  const [ingress, egress] = [0, 1].map((key) =>
    Number(packets.lookup(new Uint8Array(Uint32Array.of(key).buffer))?.readBigUInt64LE() ?? 0n),
  );
  process.stdout.write(`${JSON.stringify({ ingress, egress, links: links.length })}\n`);
});
