// SPDX-License-Identifier: Apache-2.0
// A machine behind the lab's outside client, which then is the router between it and the nodes.
import { far, farRouter } from './cast.ts';
import { mustRun } from './command.ts';
import { Host } from './host.ts';
import type { Lab } from './lab.ts';
import { kernelSettings } from './lab-layout.ts';

/** The router's device toward it. */
export const farDevice = 'far0';

/** Makes it; the lab's teardown removes it. */
export async function addFar(lab: Lab): Promise<Host> {
  const name = `${lab.name}-far`;
  await mustRun(['ip', 'netns', 'add', name]);
  const host = new Host({ name: 'far', namespacePath: `/run/netns/${name}`, addresses: far });
  await host.mustRun(['sh', '-c', kernelSettings('far')]);
  await lab.client.mustRun(['sh', '-c', forwardingSettings]);
  await ip(lab.client, [
    `link add ${farDevice} type veth peer name eth0 netns ${name}`,
    `address add ${farRouter.v4}/24 dev ${farDevice}`,
    `address add ${farRouter.v6}/64 dev ${farDevice} nodad`,
    `link set ${farDevice} up`,
  ]);
  await ip(host, [
    `address add ${far.v4}/24 dev eth0`,
    `address add ${far.v6}/64 dev eth0 nodad`,
    'link set eth0 up',
    `route add default via ${farRouter.v4}`,
    `route add default via ${farRouter.v6}`,
  ]);
  return host;
}

const forwardingSettings = ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']
  .map((path) => `echo 1 > /proc/sys/net/${path}`)
  .join('\n');

async function ip(host: Host, commands: readonly string[]): Promise<void> {
  await host.mustRun(['ip', '-batch', '-'], { input: `${commands.join('\n')}\n` });
}
