// SPDX-License-Identifier: Apache-2.0
// Annotations that tune what Kubernetes has no field for: our names, and those that others gave the same meaning.

/**
 * Names of one annotation, the first one that an object has counts. kube-router: pkg/controllers/proxy,
 * svcSchedulerAnnotation and svcSchedFlagsAnnotation. Cilium: the weight of all endpoints of a slice.
 */
export const annotationNames = {
  /** Of a Service: a scheduler's name. */
  scheduler: ['bpvs.io/scheduler', 'kube-router.io/service.scheduler'],
  /** Of a Service: flags joined by commas, as after `ipvsadm -b`; empty for none. */
  schedulerFlags: ['bpvs.io/scheduler-flags', 'kube-router.io/service.schedflags'],
  /** Of an EndpointSlice: the weight of all its endpoints. */
  weight: ['bpvs.io/weight', 'service.cilium.io/weight'],
} as const satisfies Record<string, readonly string[]>;

export type AnnotationPurpose = keyof typeof annotationNames;

const known: ReadonlySet<string> = new Set(Object.values(annotationNames).flat());

export function isKnownAnnotation(name: string): boolean {
  return known.has(name);
}

/** The annotation that counts for a purpose, under the name that the object gives it. */
export function annotationFor(
  annotations: Readonly<Record<string, string>>,
  purpose: AnnotationPurpose,
): { readonly name: string; readonly value: string } | undefined {
  for (const name of annotationNames[purpose]) {
    const value = annotations[name];
    if (value !== undefined) return { name, value };
  }
  return undefined;
}
