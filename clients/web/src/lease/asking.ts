/** Asking for control, and being asked for it. Each lapses after a minute. */

import { signal, type ReadonlySignal, type Signal } from "@preact/signals";

const LAPSE_MS = 60_000;

export interface ControlRequest {
  client_id: string;
  name: string;
  /** When it lapses, milliseconds since 1970. */
  until: number;
}

export class Asking {
  readonly #unanswered: () => void;
  readonly #requests: Signal<readonly ControlRequest[]> = signal([]);
  readonly #asked = signal(false);
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(unanswered: () => void) {
    this.#unanswered = unanswered;
  }

  /** Who asks us for control, oldest first. */
  get requests(): ReadonlySignal<readonly ControlRequest[]> { return this.#requests; }
  /** Whether we are asking for control. */
  get asked(): ReadonlySignal<boolean> { return this.#asked; }

  dispose(): void {
    clearTimeout(this.#timer);
  }

  begin(): void {
    this.#asked.value = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#asked.value = false;
      this.#unanswered();
    }, LAPSE_MS);
  }

  /** It was answered, or nobody is left to. */
  end(): void {
    clearTimeout(this.#timer);
    this.#asked.value = false;
  }

  /** Asking again begins the minute anew, as it does for the worker. */
  heard(client_id: string, name: string): void {
    const until = Date.now() + LAPSE_MS;
    this.forget(client_id);
    this.#requests.value = [...this.#requests.value, { client_id, name, until }];
    setTimeout(() => this.#keep((request) => request.until > Date.now()), LAPSE_MS + 50);
  }

  forget(clientId: string): void {
    this.#keep(({ client_id }) => client_id !== clientId);
  }

  /** Only those who are here can still be answered. */
  here(clients: readonly { client_id: string }[]): void {
    this.#keep(({ client_id }) => clients.some((client) => client.client_id === client_id));
  }

  forgetAll(): void {
    this.#requests.value = [];
  }

  #keep(wanted: (request: ControlRequest) => boolean): void {
    this.#requests.value = this.#requests.value.filter(wanted);
  }
}
