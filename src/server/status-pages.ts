// SPDX-License-Identifier: Apache-2.0
// The pages of the metrics address but /metrics itself: /healthz, /proxyMode, /configz.
import type { RequestListener } from 'node:http';
import { type Answer, notFound, pathOf, send } from './answers.ts';

export interface StatusPages {
  /** The word of /proxyMode. */
  readonly mode: string;
  /** The effective configuration with apiVersion and kind. */
  readonly configuration: unknown;
  /** Further pages by path; `/metrics` will be one of them. */
  readonly pages?: ReadonlyMap<string, () => Answer>;
}

const text = (body: string): Answer => ({ status: 200, type: 'text/plain; charset=utf-8', body });

export function statusHandler({ mode, configuration, pages }: StatusPages): RequestListener {
  const all = new Map<string, () => Answer>([
    ['/healthz', () => text('ok')],
    ['/proxyMode', () => text(mode)],
    ['/configz', () => configz(configuration)],
    ...(pages ?? []),
  ]);
  return (request, response) => {
    const page = all.get(pathOf(request.url));
    send(response, page ? page() : notFound);
  };
}

function configz(configuration: unknown): Answer {
  const body = JSON.stringify({ 'kubeproxy.config.k8s.io': configuration });
  return { status: 200, type: 'application/json', body };
}
