// SPDX-License-Identifier: Apache-2.0
// What /healthz and /livez of port 10256 answer, in kube-proxy's JSON. Cloud load balancers and kubelets read it.
import type { RequestListener } from 'node:http';
import { type Answer, notFound, pathOf, send } from './answers.ts';
import type { Health, SyncHealth } from './sync-health.ts';

/** What decides whether new traffic may come to a node. */
export interface NodeEligibility {
  readonly isBeingDeleted: boolean;
  readonly taints: readonly string[];
}

/** The cluster autoscaler's, on a node that it is about to remove. */
const toBeDeletedTaint = 'ToBeDeletedByClusterAutoscaler';

/** An unknown node is not eligible; whether it is ready or schedulable has no say. */
export function isNodeEligible(node: NodeEligibility | undefined): boolean {
  return node !== undefined && !node.isBeingDeleted && !node.taints.includes(toBeDeletedTaint);
}

/** /healthz. While healthy, `lastUpdated` is now, as older clients expect. */
export function healthzAnswer(health: Health, isEligible: boolean): Answer {
  return answer(health, health.isHealthy && isEligible, { nodeEligible: isEligible });
}

/** /livez: the node does not matter. */
export function livezAnswer(health: Health): Answer {
  return answer(health, health.isHealthy, {});
}

function answer(health: Health, isOk: boolean, more: Readonly<Record<string, boolean>>): Answer {
  const { currentMs, lastUpdatedMs, families, isHealthy } = health;
  const status = [...families].map(
    ([family, each]) =>
      [
        family === 4 ? 'IPv4' : 'IPv6',
        { lastUpdated: formatTime(each.lastUpdatedMs), healthy: each.isHealthy },
      ] as const,
  );
  const body = {
    lastUpdated: formatTime(isOk ? currentMs : lastUpdatedMs),
    currentTime: formatTime(currentMs),
    ...more,
    healthy: isHealthy,
    ...(status.length > 0 && { status: Object.fromEntries(status.sort()) }),
  };
  return { status: isOk ? 200 : 503, type: 'application/json', body: JSON.stringify(body) };
}

/** RFC 3339; Go's zero time stands for never. */
function formatTime(ms: number | undefined): string {
  return ms === undefined ? '0001-01-01T00:00:00Z' : new Date(ms).toISOString();
}

/** Called with the status of each answer: what `proxy_healthz_total` and `proxy_livez_total` count. */
export type HealthObserver = (path: '/healthz' | '/livez', status: number) => void;

export function proxyHealthHandler(
  health: SyncHealth,
  node: () => NodeEligibility | undefined,
  observe: HealthObserver = () => {},
): RequestListener {
  return (request, response) => {
    const path = pathOf(request.url);
    if (path !== '/healthz' && path !== '/livez') return send(response, notFound);
    const now = health.read();
    const result = path === '/healthz' ? healthzAnswer(now, isNodeEligible(node())) : livezAnswer(now);
    observe(path, result.status);
    send(response, result);
  };
}
