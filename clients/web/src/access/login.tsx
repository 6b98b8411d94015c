/** Signing in by hand, for when no link from `baton open` is at hand. */

import { useSignal } from "@preact/signals";
import { ConnectionChip } from "../desk/connection_chip";
import { Mark } from "../ui/icons";
import { store } from "../state";
import "./login.css";

export function Login({ message }: { message: string | null }) {
  const token = useSignal("");
  const busy = useSignal(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!token.value.trim() || busy.value) return;
    busy.value = true;
    await store.signInWithToken(token.value.trim());
    busy.value = false;
  };
  return (
    <main class="login">
      <form class="card" onSubmit={(event) => void submit(event)}>
        <div class="brand"><Mark /><h1>Baton</h1></div>
        <p class="lead">Sign in to see your sessions.</p>
        {message && <p class="message" role="alert">{message}</p>}
        <p>The short way: run <code>baton open</code> in a terminal. It opens this page already signed in.</p>
        <label class="field">
          <span>Or paste a token</span>
          <input
            type="password"
            autocomplete="current-password"
            spellcheck={false}
            data-testid="login-token"
            value={token}
            onInput={(event) => (token.value = event.currentTarget.value)}
          />
          <span class="help">Its file is named by <code>baton status</code>.</span>
        </label>
        <button type="submit" class="button primary wide" data-testid="login-submit" disabled={!token.value.trim() || busy.value}>
          {busy.value ? "Signing in…" : "Sign in"}
        </button>
        <ConnectionChip />
      </form>
    </main>
  );
}

/** Nothing answers yet; the page keeps asking. */
export function Unreachable({ message }: { message: string }) {
  return (
    <main class="login">
      <div class="card">
        <div class="brand"><Mark /><h1>Baton</h1></div>
        <p class="lead">The bridge does not answer.</p>
        <p>{message} This page signs in by itself as soon as the bridge is back.</p>
        <ConnectionChip />
      </div>
    </main>
  );
}
