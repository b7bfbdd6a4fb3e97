// SPDX-License-Identifier: Apache-2.0
// The process of an Operator: requests as lines of JSON in, an answer each out.
import { createInterface } from 'node:readline';
import { ApiClient, type ApiRequest } from '../../src/api/api-client.ts';
import { findApiServer } from '../../src/api/kube-config.ts';
import { namespace, readinessPatch, serviceObject, sliceObject, slicePath } from './objects.ts';
import type { OperatorAnswer, OperatorRequest } from './operator.ts';

/** So many requests are on their way at once. */
const width = 24;
const silenceMs = 60_000;

const [, , kubeconfig = ''] = process.argv;
const client = new ApiClient(await findApiServer({ kubeconfig }));
const { signal } = new AbortController();
const send = (request: Pick<ApiRequest, 'method' | 'path' | 'body' | 'contentType'>) =>
  client.json({ ...request, silenceMs, signal });

async function answer(request: OperatorRequest): Promise<OperatorAnswer> {
  switch (request.do) {
    case 'populate':
      await populate(request);
      return {};
    case 'change':
      return change(request);
    case 'fetch':
      return { text: await (await fetch(request.url)).text() };
  }
}

async function populate({ from, to, endpointsEach }: OperatorRequest & { do: 'populate' }): Promise<void> {
  if (from === 0)
    await send({ method: 'POST', path: '/api/v1/namespaces', body: { metadata: { name: namespace } } });
  let next = from;
  const worker = async () => {
    while (next < to) {
      const service = next++;
      await send({
        method: 'POST',
        path: `/api/v1/namespaces/${namespace}/services`,
        body: serviceObject(service),
      });
      await send({
        method: 'POST',
        path: `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
        body: sliceObject(service, { endpointsEach }),
      });
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}

async function change({ service, isReady }: OperatorRequest & { do: 'change' }): Promise<OperatorAnswer> {
  const body = readinessPatch(isReady, new Date());
  const sentNs = process.hrtime.bigint();
  await send({ method: 'PATCH', path: slicePath(service), body, contentType: 'application/json-patch+json' });
  const answeredNs = process.hrtime.bigint();
  return { sentMs: Number(sentNs) / 1e6, answeredMs: Number(answeredNs) / 1e6 };
}

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const result = await answer(JSON.parse(line)).catch((error: Error) => ({ error: error.message }));
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
