/** Counts the memory that code asks for by number: a decoder that believes a length shows at once. */

const { Uint8Array: RealUint8Array, ArrayBuffer: RealArrayBuffer } = globalThis;

/** Runs `task` with constructors that count. Not for what waits. */
export function countingAllocations<Result>(
  task: () => Result,
): { result: Result; allocatedBytes: number } {
  let allocatedBytes = 0;
  const counting = <Class extends new (...args: never[]) => object>(
    real: Class,
  ): Class =>
    new Proxy(real, {
      construct(target, args: unknown[], newTarget) {
        if (typeof args[0] === "number") allocatedBytes += args[0];
        // No more than this is really taken, so that a bug fails the test and not the machine.
        if (allocatedBytes > 2 ** 30) {
          throw new Error(`it asked for ${allocatedBytes} bytes`);
        }
        return Reflect.construct(target, args, newTarget);
      },
    });
  globalThis.Uint8Array = counting(RealUint8Array);
  globalThis.ArrayBuffer = counting(RealArrayBuffer);
  try {
    return { result: task(), allocatedBytes };
  } finally {
    globalThis.Uint8Array = RealUint8Array;
    globalThis.ArrayBuffer = RealArrayBuffer;
  }
}
