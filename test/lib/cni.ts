// SPDX-License-Identifier: Apache-2.0
// Container network plugins, called as a container runtime calls them (CNI specification 1.0, section 2).
import type { Address } from '../../src/model/address.ts';
import type { DualPrefix } from './cast.ts';
import { mustRun } from './command.ts';

/** ptp: a veth pair and a host route a pod. bridge: the pairs are ports of a bridge that is the gateway. */
export const wirings = ['ptp', 'bridge'] as const;
export type Wiring = (typeof wirings)[number];

export const pluginFolder = '/usr/lib/cni';
/** The plugins that {@link Wiring}s need. */
export const pluginNames = [...wirings, 'host-local'] as const;

/** What a pod is attached to. */
export interface PodNetwork {
  readonly wiring: Wiring;
  readonly range: DualPrefix;
  /** Where host-local keeps its leases. */
  readonly leaseFolder: string;
  /** The namespace of the node, in which the plugin runs. */
  readonly nodeNamespacePath: string;
}

export interface Attachment {
  readonly v4: Address;
  readonly v6: Address;
  readonly hostDevice: string;
}

/** The parts of a plugin's result that are read here (CNI specification 1.0, "Success"). */
interface AddResult {
  readonly interfaces: readonly { readonly name: string; readonly sandbox?: string }[];
  readonly ips: readonly { readonly address: string }[];
}

/** Wires a pod's namespace to its node (CNI ADD). */
export async function attachPod(
  network: PodNetwork,
  id: string,
  podNamespacePath: string,
): Promise<Attachment> {
  const result = JSON.parse(await callPlugin('ADD', network, id, podNamespacePath)) as AddResult;
  const addresses = result.ips.map((ip) => ip.address.replace(/\/\d+$/, ''));
  const v4 = addresses.find((address) => !address.includes(':'));
  const v6 = addresses.find((address) => address.includes(':'));
  const hostDevice = result.interfaces.find((link) => !link.sandbox && link.name !== bridgeName)?.name;
  if (v4 === undefined || v6 === undefined || hostDevice === undefined) {
    throw new Error(`Expected a device and two addresses for ${id} but received ${JSON.stringify(result)}`);
  }
  return { v4, v6, hostDevice };
}

/** Undoes {@link attachPod} (CNI DEL); a pod that was never attached is no error. */
export async function detachPod(network: PodNetwork, id: string, podNamespacePath: string): Promise<void> {
  await callPlugin('DEL', network, id, podNamespacePath);
}

const bridgeName = 'cni0';

function callPlugin(
  verb: 'ADD' | 'DEL',
  network: PodNetwork,
  id: string,
  namespacePath: string,
): Promise<string> {
  return mustRun(
    ['nsenter', `--net=${network.nodeNamespacePath}`, '--', `${pluginFolder}/${network.wiring}`],
    {
      input: JSON.stringify(configuration(network)),
      environment: {
        CNI_COMMAND: verb,
        CNI_CONTAINERID: id,
        CNI_NETNS: namespacePath,
        CNI_IFNAME: 'eth0',
        CNI_PATH: pluginFolder,
      },
    },
  );
}

function configuration(network: PodNetwork): unknown {
  return {
    cniVersion: '1.0.0',
    name: 'pods',
    type: network.wiring,
    ...(network.wiring === 'bridge' && { bridge: bridgeName, isGateway: true }),
    ipam: {
      type: 'host-local',
      dataDir: network.leaseFolder,
      ranges: [[{ subnet: network.range.v4 }], [{ subnet: network.range.v6 }]],
      routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    },
  };
}
