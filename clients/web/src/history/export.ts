/**
 * A part of a session as a file: from one moment that was looked at to another.
 *
 * It is read piece by piece, so that one sees how much there is and can end it; a browser keeps a large file on disk.
 */

import { batch, signal } from "@preact/signals";
import type { ExportFormat, RecordingRoutes } from "../api/recordings";
import { messageOf, wasAborted } from "../api/requests";
import type { Point } from "./timeline";

export const ENDINGS: Readonly<Record<ExportFormat, string>> = { cast3: "cast", cast2: "cast", text: "txt" };

export class Export {
  readonly #routes: Pick<RecordingRoutes, "part">;
  readonly #sessionId: string;
  readonly #cursorOf: (offset: number) => string;
  #abort = new AbortController();

  readonly isOpen = signal(false);
  /** null: from the oldest that is kept. */
  readonly from = signal<Point | null>(null);
  /** null: to the newest there is. */
  readonly to = signal<Point | null>(null);
  readonly format = signal<ExportFormat>("cast3");
  /** Bytes read so far; null while nothing is. */
  readonly reading = signal<number | null>(null);
  readonly error = signal<string | null>(null);

  constructor(routes: Pick<RecordingRoutes, "part">, sessionId: string, cursorOf: (offset: number) => string) {
    this.#routes = routes;
    this.#sessionId = sessionId;
    this.#cursorOf = cursorOf;
  }

  /** Begins at `point`; an end that is not behind it is none any more. */
  startAt(point: Point | null): void {
    batch(() => {
      this.from.value = point;
      const to = this.to.peek();
      if (point && to && to.offset <= point.offset) this.to.value = null;
    });
  }

  /** Ends at `point`; a beginning that is not before it is none any more. */
  endAt(point: Point | null): void {
    batch(() => {
      this.to.value = point;
      const from = this.from.peek();
      if (point && from && from.offset >= point.offset) this.from.value = null;
    });
  }

  close(): void {
    this.cancel();
    this.isOpen.value = false;
  }

  /** Looking back began anew: what was chosen may be of another life of the session. */
  reset(): void {
    this.close();
    batch(() => {
      this.from.value = this.to.value = null;
      this.error.value = null;
    });
  }

  cancel(): void {
    this.#abort.abort();
    this.reading.value = null;
  }

  /** The file's content; null when it was cancelled, or failed and `error` says why. */
  async read(): Promise<Blob | null> {
    this.cancel();
    const { signal: ended } = (this.#abort = new AbortController());
    const [from, to] = [this.from.peek(), this.to.peek()];
    batch(() => {
      this.reading.value = 0;
      this.error.value = null;
    });
    try {
      const request = { format: this.format.peek(), from: from && this.#cursorOf(from.offset), to: to && this.#cursorOf(to.offset) };
      const response = await this.#routes.part(this.#sessionId, request, ended);
      const pieces: Uint8Array<ArrayBuffer>[] = [];
      const reader = response.body?.getReader();
      for (let piece = await reader?.read(); piece?.value; piece = await reader?.read()) {
        pieces.push(piece.value as Uint8Array<ArrayBuffer>);
        this.reading.value = (this.reading.peek() ?? 0) + piece.value.length;
      }
      return ended.aborted ? null : new Blob(pieces);
    } catch (error) {
      if (!ended.aborted && !wasAborted(error)) this.error.value = messageOf(error);
      return null;
    } finally {
      if (!ended.aborted) this.reading.value = null;
    }
  }
}
