// SPDX-License-Identifier: Apache-2.0
// Every error that a caller can react to; each class has a stable `code`, commands turn it into an exit code.

/** The base of all errors that BPVS raises on purpose: a sentence that names the thing, the reason and the remedy. */
export class BpvsError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A kernel call failed. Thrown by the addon through `src/native`. */
export class SystemError extends BpvsError {
  /** What was tried: "bpf_map_update_elem services". */
  readonly operation: string;
  /** Positive errno. */
  readonly errno: number;
  /** The verifier's log, when loading failed. */
  readonly log: string | undefined;

  constructor(operation: string, errno: number, code: string, message: string, log?: string) {
    super(code, message);
    this.operation = operation;
    this.errno = errno;
    this.log = log;
  }
}

/** An operation that does not fit the state it meets, with the errno kernel IPVS gives (EEXIST, ESRCH, ENOENT, ...). */
export class OperationError extends BpvsError {}

/** The maps found pinned were laid out by another version. */
export class LayoutError extends BpvsError {
  constructor(message: string) {
    super('BPVS_LAYOUT', message);
  }
}

/** Something that the machine lacks: a kernel feature, a right, a mount, the addon. */
export class EnvironmentError extends BpvsError {
  constructor(message: string, options?: ErrorOptions) {
    super('BPVS_ENVIRONMENT', message, options);
  }
}

/** Input from a person that cannot be used as it is. */
export class InputError extends BpvsError {
  constructor(message: string, options?: ErrorOptions) {
    super('BPVS_INPUT', message, options);
  }
}
