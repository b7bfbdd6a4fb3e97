// SPDX-License-Identifier: Apache-2.0
// Plain HTTP requests to a server on this machine, and ports that are free for one.
import { once } from 'node:events';
import { request } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { text } from 'node:stream/consumers';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Rejects with the error of the connection. */
export async function get(
  port: number,
  path: string,
  { host = '127.0.0.1', method = 'GET' } = {},
): Promise<HttpAnswer> {
  const asked = request({ host, port, path, method, agent: false });
  asked.end();
  const [response] = await once(asked, 'response');
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

/** A port that nobody listened at a moment ago, in either family. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '::');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
