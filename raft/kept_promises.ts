/** Promises of one node that wait for the write they rest on (rules C1, C2). */
import type { Message } from "./core/types.ts";

interface Kept {
  readonly after: number;
  readonly messages: readonly Message[];
}

/** Messages that leave once what they promise is durable, in the order in which they were made. */
export class KeptPromises {
  readonly #send: (message: Message) => void;
  #durableWriteId = 0;
  #kept: Kept[] = [];

  /** `send` hands a message to its link. */
  constructor(send: (message: Message) => void) {
    this.#send = send;
  }

  /** Sends these when the write `after` is durable: now, if it is. */
  keep(messages: readonly Message[], after: number): void {
    if (after <= this.#durableWriteId && this.#kept.length === 0) {
      for (const message of messages) this.#send(message);
    } else {
      this.#kept.push({ after, messages });
    }
  }

  /** Everything up to `writeId` is durable. */
  durable(writeId: number): void {
    this.#durableWriteId = writeId;
    let sent = 0;
    for (const { after, messages } of this.#kept) {
      if (after > writeId) break;
      for (const message of messages) this.#send(message);
      sent++;
    }
    if (sent > 0) this.#kept.splice(0, sent);
  }
}
