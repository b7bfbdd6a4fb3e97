// SPDX-License-Identifier: Apache-2.0
// sessionAffinity ClientIP as persistence.
import type { Family } from '../model/address.ts';
import type { ServiceObject } from '../model/cluster.ts';
import type { Persistence } from '../model/virtual-service.ts';

/** Each client address by itself: kube-proxy gives IPVS a full netmask. */
export function persistence({ affinitySeconds }: ServiceObject, family: Family): Persistence | undefined {
  if (affinitySeconds === undefined) return undefined;
  return { timeoutSeconds: affinitySeconds, prefixLength: family === 4 ? 32 : 128 };
}
