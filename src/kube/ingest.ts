// SPDX-License-Identifier: Apache-2.0
// From parsed documents to checked objects, one problem line for each fault; nothing untrusted gets past here.
import type { ClusterObjects, EndpointSliceObject, NodeObject, ServiceObject } from '../model/cluster.ts';
import { readEndpointSlice } from './endpoint-slice.ts';
import { dnsLabel, dnsSubdomain, FieldReader, type Fields, isFields } from './fields.ts';
import { readMetadata } from './metadata.ts';
import { readNode } from './node.ts';
import { oneLine, quoteIfOdd } from './one-line.ts';
import { readService } from './service.ts';

export interface Ingested extends ClusterObjects {
  /** "web.yaml: Service default/web: spec.ports[0].port: is missing" */
  readonly problems: readonly string[];
  /** Objects left out for their problems: "Service default/web". */
  readonly refused: readonly string[];
  /** Some document could not be told: it may have been any object of the file. */
  readonly hasUnknown: boolean;
  /** There is no document but empty ones: the writer may just have truncated the file. */
  readonly isEmpty: boolean;
  /** Objects of kinds that have no say here. */
  readonly ignored: number;
}

export const nothing: Ingested = {
  services: [],
  slices: [],
  nodes: [],
  problems: [],
  refused: [],
  hasUnknown: false,
  isEmpty: true,
  ignored: 0,
};

const listKinds = ['List', 'ServiceList', 'EndpointSliceList', 'NodeList'];

/**
 * Takes documents of any shape (what a YAML or JSON parser returned for `file`), Lists included. An object with problems
 * is left out, the others stay. Kinds without a meaning here are counted; empty documents are nothing at all.
 * @param isStored an API server gave them: one that today's validation would refuse was accepted once, and counts
 *   without the fields that cannot be used
 */
export function ingest(documents: readonly unknown[], file: string, isStored = false): Ingested {
  const intake = new Intake(file, isStored);
  for (const document of documents) intake.take(document, '', '');
  return intake;
}

class Intake implements Ingested {
  readonly services: ServiceObject[] = [];
  readonly slices: EndpointSliceObject[] = [];
  readonly nodes: NodeObject[] = [];
  readonly problems: string[] = [];
  readonly refused: string[] = [];
  hasUnknown = false;
  isEmpty = true;
  ignored = 0;
  readonly #file: string;
  readonly #isStored: boolean;

  constructor(file: string, isStored: boolean) {
    this.#file = file;
    this.#isStored = isStored;
  }

  /** `apiVersion` and `kind` are those that a typed list (ServiceList) lends to items that have none. */
  take(document: unknown, apiVersion: string, kind: string): void {
    if (document === undefined || document === null) return;
    this.isEmpty = false;
    if (!isFields(document)) {
      this.#unknown('expected an object with apiVersion and kind');
      return;
    }
    const type = `${document.apiVersion ?? apiVersion} ${document.kind ?? kind}`;
    if (type === 'v1 Service') {
      this.#read('Service', document, this.services, (reader) =>
        readService(reader, readMetadata(reader, document, dnsLabel, true), document),
      );
    } else if (type === 'discovery.k8s.io/v1 EndpointSlice') {
      this.#read('EndpointSlice', document, this.slices, (reader) =>
        readEndpointSlice(reader, readMetadata(reader, document, dnsSubdomain, true), document),
      );
    } else if (type === 'v1 Node') {
      this.#read('Node', document, this.nodes, (reader) =>
        readNode(reader, readMetadata(reader, document, dnsSubdomain, false), document),
      );
    } else {
      this.#takeOther(document);
    }
  }

  #takeOther(document: Fields): void {
    const { apiVersion, kind } = document;
    if (typeof kind !== 'string' || typeof apiVersion !== 'string') {
      this.#unknown(`${describe('object', document)}: expected texts apiVersion and kind`);
    } else if (kind.endsWith('List') && Array.isArray(document.items)) {
      const isTyped = kind !== 'List';
      for (const item of document.items)
        this.take(item, isTyped ? apiVersion : '', isTyped ? kind.slice(0, -4) : '');
    } else if (!listKinds.includes(kind)) {
      this.ignored += 1;
    } else if (document.items !== undefined && document.items !== null) {
      this.#unknown(`${kind}: items: expected a list`);
    }
  }

  #unknown(problem: string): void {
    this.hasUnknown = true;
    this.#tell(problem);
  }

  #tell(problem: string): void {
    this.problems.push(oneLine(`${this.#file}: ${problem}`));
  }

  #read<T>(kind: string, document: Fields, into: T[], read: (reader: FieldReader) => T): void {
    const reader = new FieldReader();
    const object = read(reader);
    if (reader.problems.length === 0) {
      into.push(object);
      return;
    }
    const name = describe(kind, document);
    if (this.#isStored) into.push(object);
    else this.refused.push(name);
    if (name.endsWith(nameless)) this.hasUnknown = true;
    for (const { path, reason } of reader.problems) this.#tell(`${name}: ${path}: ${reason}`);
  }
}

const nameless = '(no name)';

/** "Service default/web", from an object that may be broken in any way. */
function describe(kind: string, document: Fields): string {
  const metadata = isFields(document.metadata) ? document.metadata : {};
  const part = (value: unknown, otherwise: string) =>
    typeof value === 'string' && value !== '' ? quoteIfOdd(value) : otherwise;
  const name = part(metadata.name, nameless);
  return kind === 'Node' ? `Node ${name}` : `${kind} ${part(metadata.namespace, 'default')}/${name}`;
}
