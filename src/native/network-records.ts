// SPDX-License-Identifier: Apache-2.0
// Links and addresses as the addon reads them from route netlink.

export interface LinkRecord {
  readonly index: number;
  readonly name: string;
  /** IFLA_INFO_KIND: "veth", "bridge", "vlan", ...; empty for a physical device and for lo. */
  readonly kind: string;
  /** IFLA_INFO_SLAVE_KIND: "bridge" for a bridge's port, "bond" for a bond's; empty without a master. */
  readonly slaveKind: string;
  /** ARPHRD_*: 1 Ethernet, 772 loopback, 65534 none, ... */
  readonly type: number;
  /** The link-layer address: six bytes for Ethernet, none for some tunnels. */
  readonly address: Buffer;
  /** Of the bridge, bond or VRF that it belongs to; 0 without one. */
  readonly masterIndex: number;
  /** Of the device it stands on, or of its veth peer; 0 without one. Counted in `linkNamespaceId` where that is defined. */
  readonly linkIndex: number;
  /** The id, in this namespace, of the network namespace that `linkIndex` is in when that is another one. */
  readonly linkNamespaceId: number | undefined;
  readonly mtu: number;
  /** IFF_UP: administratively up. */
  readonly isUp: boolean;
  readonly isLoopback: boolean;
}

export interface AddressRecord {
  readonly ifindex: number;
  readonly family: 4 | 6;
  /** The node's own address (not a peer's): 4 or 16 bytes. */
  readonly address: Buffer;
  readonly prefixLength: number;
  /** RT_SCOPE_*: 0 global, 200 site, 253 link, 254 host. */
  readonly scope: number;
  /** Duplicate address detection is still running (IPv6). */
  readonly isTentative: boolean;
  readonly isDeprecated: boolean;
}

/** "overrun": events were lost before it, none after it: list links and addresses anew. */
export type NetworkEvent =
  | (LinkRecord & { readonly event: 'link' | 'link-gone' })
  | (AddressRecord & { readonly event: 'address' | 'address-gone' })
  | { readonly event: 'overrun' };
