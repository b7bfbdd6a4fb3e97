// SPDX-License-Identifier: Apache-2.0
// How long idle connections live, as far as that can be set.

/** What `ipvsadm --set` sets: idle seconds of established TCP, of TCP after a FIN, of UDP. */
export interface Timeouts {
  readonly tcpSeconds: number;
  readonly tcpFinSeconds: number;
  readonly udpSeconds: number;
}

/** Those that are set to something else; the others stay as they are. */
export type TimeoutChanges = { readonly [Name in keyof Timeouts]?: number | undefined };
