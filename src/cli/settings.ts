// SPDX-License-Identifier: Apache-2.0
// What the options of one command line say.
import type { Address, Family } from '../model/address.ts';
import {
  type ForwardingMethod,
  serviceFamily as familyOf,
  type Protocol,
  type VirtualServiceKey,
} from '../model/virtual-service.ts';

export const tunnelTypes = ['ipip', 'gue', 'gre'] as const;

/** What the options of one command line say; those not given keep the value of {@link defaultSettings}. */
export interface Settings {
  service?: VirtualServiceKey;
  server?: { readonly address: Address; readonly port: number };
  scheduler: string;
  /** As written: flags joined by commas. */
  schedulerFlags: string;
  persistentSeconds?: number;
  mask?: Address | number;
  persistenceEngine?: string;
  forwarding: ForwardingMethod;
  weight: number;
  upperThreshold: number;
  lowerThreshold: number;
  tunnelType: (typeof tunnelTypes)[number];
  tunnelPort: number;
  daemon?: 'master' | 'backup';
  /** `--set`: tcp, tcpfin and udp in seconds, 0 keeps a value. */
  timeouts?: readonly number[];
}

export const defaultSettings: Settings = {
  scheduler: 'wlc',
  schedulerFlags: '',
  forwarding: 'droute',
  weight: 1,
  upperThreshold: 0,
  lowerThreshold: 0,
  tunnelType: 'ipip',
  tunnelPort: 0,
};

export function serviceFamily(service: VirtualServiceKey | undefined): Family {
  return service === undefined ? 4 : familyOf(service);
}

/** Protocol and port of a service; those of one with a firewall mark are TCP and 0. */
export function serviceKey(service: VirtualServiceKey | undefined): {
  readonly protocol: Protocol;
  readonly port: number;
} {
  return service === undefined || service.mark !== undefined ? { protocol: 'tcp', port: 0 } : service;
}
