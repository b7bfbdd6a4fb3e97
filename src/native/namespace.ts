// SPDX-License-Identifier: Apache-2.0
// The network namespace that the process runs in.
import { addon } from './addon.ts';

/**
 * What bpf_get_netns_cookie() gives for sockets of the calling thread's network namespace; never used again while the
 * machine runs. Source: SO_NETNS_COOKIE, since Linux 5.14. Throws SystemError.
 */
export function netnsCookie(): bigint {
  return addon.netnsCookie();
}
