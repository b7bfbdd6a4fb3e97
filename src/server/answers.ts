// SPDX-License-Identifier: Apache-2.0
// Writing HTTP answers: the headers that kube-proxy's servers have.
import type { ServerResponse } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly type: 'application/json' | 'text/plain; charset=utf-8';
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const notFound: Answer = {
  status: 404,
  type: 'text/plain; charset=utf-8',
  body: '404 page not found\n',
};

export function send(response: ServerResponse, { status, type, body, headers = {} }: Answer): void {
  response.writeHead(status, {
    'Content-Type': type,
    'X-Content-Type-Options': 'nosniff',
    'Content-Length': Buffer.byteLength(body),
    ...headers,
  });
  response.end(body);
}

/** "/healthz" of "/healthz?verbose". */
export function pathOf(url: string | undefined): string {
  return (url ?? '/').split('?')[0] ?? '/';
}
