// SPDX-License-Identifier: Apache-2.0
// hooks.ts PROGRAM DIRECTION DEVICE...: hooks a program of hooks.bpf.c into devices of the network namespace that it runs in when it
// reads "attach", takes it out again at "detach", and answers each with how many datagrams the program has counted so far.
import { createInterface } from 'node:readline';
import { BpfLink, type Direction } from '../../src/native/bpf-link.ts';
import { listLinks } from '../../src/native/netlink.ts';
import { benchObject } from './fresh.ts';

const noKey = new Uint8Array(4);
const [programName = '', direction, ...devices] = process.argv.slice(2);
using object = benchObject('hooks');
object.load();
using program = object.program(programName);
using datagrams = object.map('datagrams');
const indexes = listLinks()
  .filter(({ name }) => devices.includes(name))
  .map(({ index }) => index);
if (indexes.length !== devices.length) throw new Error(`Expected the devices ${devices.join(', ')}`);

const links: BpfLink[] = [];
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'attach')
    links.push(...indexes.map((index) => BpfLink.attachTcx(program, index, direction as Direction)));
  else for (const link of links.splice(0)) link.close();
  const [count] = new BigUint64Array((datagrams.lookup(noKey) ?? new Uint8Array(8)).slice().buffer);
  process.stdout.write(`${count}\n`);
}
