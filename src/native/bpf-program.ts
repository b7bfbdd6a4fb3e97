// SPDX-License-Identifier: Apache-2.0
// A loaded BPF program.
import { addon, type NativeProgram } from './addon.ts';
import { Descriptor } from './descriptor.ts';

export interface TestRun {
  /** The packet, from its Ethernet header on. Not for SYSCALL programs. */
  readonly data?: Uint8Array;
  /** struct __sk_buff or xdp_md; of a SYSCALL program its argument. */
  readonly context?: Uint8Array;
  /** How often it runs, over the same buffer; 1 by default. */
  readonly repeat?: number;
  /** BPF_F_TEST_*. */
  readonly flags?: number;
  /** Room for the packet as the program left it: 512 bytes more than `data` by default; ENOSPC when too small. */
  readonly dataOutSize?: number;
  /** Room for the context as the program left it: that of `context` by default. */
  readonly contextOutSize?: number;
}

export interface TestRunResult {
  readonly returnValue: number;
  /** The mean of all repeats. */
  readonly durationNs: number;
  readonly data: Buffer;
  readonly context: Buffer;
}

/** An open program. All methods throw SystemError (EBADF after close). */
export class BpfProgram extends Descriptor<NativeProgram> {
  readonly id: number;
  /** At most 15 characters: the kernel cuts longer names. */
  readonly name: string;
  /** As bpftool spells it: "sched_cls", "xdp", "cgroup_sock_addr", "syscall", ... */
  readonly type: string;
  /** The kernel's digest of its instructions. */
  readonly tag: Buffer;
  /** Its length after the verifier rewrote it. */
  readonly instructionCount: number;
  /** How many instructions the verifier walked; 0 before Linux 5.16. */
  readonly verifiedInstructionCount: number;

  /** Takes over a handle of the addon; elsewhere use openPinned and BpfObject.program. */
  constructor(native: NativeProgram) {
    super(native);
    const info = native.info();
    this.id = info.id;
    this.name = info.name;
    this.type = info.type;
    this.tag = info.tag;
    this.instructionCount = info.instructionCount;
    this.verifiedInstructionCount = info.verifiedInstructionCount;
  }

  static openPinned(path: string): BpfProgram {
    return new BpfProgram(addon.openPinnedProgram(path));
  }

  /** The descriptor, valid until close: the value of a program array. */
  get fd(): number {
    return this.native.fd;
  }

  /** Runs it in the kernel without a device. Source: BPF_PROG_TEST_RUN. */
  testRun(run: TestRun): TestRunResult {
    return this.type === 'syscall' ? this.#runSyscall(run) : this.#runPacket(run);
  }

  #runPacket(run: TestRun): TestRunResult {
    const { data, context, repeat = 1, flags = 0 } = run;
    const dataOutSize = run.dataOutSize ?? (data === undefined ? 0 : data.length + 512);
    const contextOutSize = run.contextOutSize ?? context?.length ?? 0;
    const result = this.native.testRun(data, context, repeat, flags, dataOutSize, contextOutSize);
    return {
      returnValue: result.returnValue,
      durationNs: result.durationNs,
      data: result.data.subarray(0, result.dataSize),
      context: result.context.subarray(0, result.contextSize),
    };
  }

  /** A SYSCALL program writes its answer over its argument, and takes nothing else. */
  #runSyscall({ context }: TestRun): TestRunResult {
    const answer = Buffer.from(context ?? []);
    const { returnValue, durationNs, data } = this.native.testRun(undefined, answer, 0, 0, 0, 0);
    return { returnValue, durationNs, data, context: answer };
  }
}
