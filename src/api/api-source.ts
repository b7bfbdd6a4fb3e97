// SPDX-License-Identifier: Apache-2.0
// A cluster's objects as its API server has them, followed as they change.
import {
  type ClusterListener,
  type ClusterSource,
  emptyChange,
  type MutableClusterChange,
} from '../kube/cluster-source.ts';
import { ingest } from '../kube/ingest.ts';
import type { EndpointSliceObject, NodeObject, ServiceObject } from '../model/cluster.ts';
import type { ApiClient } from './api-client.ts';
import { EventPoster } from './event-poster.ts';
import { defaultSettings, Reflector, type ReflectorSettings } from './reflector.ts';
import type { RawObject, Resource } from './resource.ts';

/** Those of kube-proxy, so that the rights of system:node-proxier are enough. */
const services: Resource = {
  path: '/api/v1/services',
  apiVersion: 'v1',
  kind: 'Service',
  selectors: {
    labelSelector: '!service.kubernetes.io/service-proxy-name',
    fieldSelector: 'spec.clusterIP!=None',
  },
};
const slices: Resource = {
  path: '/apis/discovery.k8s.io/v1/endpointslices',
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  selectors: { labelSelector: '!service.kubernetes.io/headless' },
};
const nodeNamed = (name: string): Resource => ({
  path: '/api/v1/nodes',
  apiVersion: 'v1',
  kind: 'Node',
  selectors: { fieldSelector: `metadata.name=${name}` },
});

const triggerAnnotation = 'endpoints.kubernetes.io/last-change-trigger-time';

export interface ApiSourceOptions {
  /** The Node object that is followed. */
  readonly node: string;
  readonly settings?: ReflectorSettings;
}

export interface ApiSourceListener extends ClusterListener {
  /** When what an EndpointSlice tells came to be, in milliseconds since 1970; before the change that brings it. */
  endpointsTriggered(slice: string, atMs: number): void;
  /** Whether the watches work; what is known stays while they do not. */
  connectionChanged(kind: string, problem: string | undefined): void;
}

/** Tells nothing before Services, EndpointSlices and the Node have been listed; a Node that does not exist holds nothing up. */
export class ApiSource implements ClusterSource {
  readonly #listener: ApiSourceListener;
  readonly #services: Reflector<ServiceObject>;
  readonly #slices: Reflector<EndpointSliceObject>;
  readonly #nodes: Reflector<NodeObject>;
  #change: MutableClusterChange = emptyChange();
  #flush: NodeJS.Immediate | undefined;
  #problems: string[] = [];
  readonly #events: EventPoster;

  constructor(
    client: ApiClient,
    { node, settings = defaultSettings }: ApiSourceOptions,
    listener: ApiSourceListener,
  ) {
    this.#listener = listener;
    this.#events = new EventPoster(client, node, ({ message }) =>
      listener.problemsFound([`event not posted: ${message}`]),
    );
    const reflect = <T>(
      resource: Resource,
      into: () => Map<string, T | undefined>,
      read: (object: RawObject) => T | undefined,
    ) =>
      new Reflector<T>(
        client,
        resource,
        read,
        {
          changed: (key, object) => {
            into().set(key, object);
            this.#schedule();
          },
          synced: () => this.#schedule(),
          problem: (message) => listener.connectionChanged(resource.kind, message),
          recovered: () => listener.connectionChanged(resource.kind, undefined),
        },
        settings,
      );
    this.#services = reflect(
      services,
      () => this.#change.services,
      (raw) => this.#ingest(raw).services[0],
    );
    this.#slices = reflect(
      slices,
      () => this.#change.slices,
      (raw) => this.#readSlice(raw),
    );
    this.#nodes = reflect(
      nodeNamed(node),
      () => this.#change.nodes,
      (raw) => this.#ingest(raw).nodes[0],
    );
  }

  warn(service: string, reason: string, note: string, action = 'Plan'): void {
    const uid = this.#services.uidOf(service);
    void this.#events.warn({ service, uid, reason, action, note }); // it never rejects
  }

  async close(): Promise<void> {
    this.#events.close();
    clearImmediate(this.#flush);
    await Promise.all([this.#services.close(), this.#slices.close(), this.#nodes.close()]);
    clearImmediate(this.#flush);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #readSlice(raw: RawObject): EndpointSliceObject | undefined {
    const slice = this.#ingest(raw).slices[0];
    const { annotations } = raw.document.metadata as { annotations?: Readonly<Record<string, unknown>> };
    const atMs = Date.parse(String(annotations?.[triggerAnnotation]));
    if (slice && !Number.isNaN(atMs)) this.#listener.endpointsTriggered(raw.key, atMs);
    return slice;
  }

  #ingest(raw: RawObject) {
    const ingested = ingest([raw.document], 'API server', true);
    if (ingested.problems.length > 0) {
      this.#problems.push(...ingested.problems);
      this.#schedule();
    }
    return ingested;
  }

  /** What one piece of an answer brings is one change. */
  #schedule(): void {
    this.#flush ??= setImmediate(() => {
      this.#flush = undefined;
      const problems = this.#problems;
      this.#problems = [];
      if (problems.length > 0) this.#listener.problemsFound(problems);
      if (!this.#services.isSynced || !this.#slices.isSynced || !this.#nodes.isSynced) return;
      const change = this.#change;
      this.#change = emptyChange();
      this.#listener.objectsChanged(change, []);
    });
  }
}
