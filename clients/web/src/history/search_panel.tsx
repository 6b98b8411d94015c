/** The search's panel, beside the terminal and over it: the terminal keeps its size. */

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Attachment } from "../terminal/attachment";
import { CloseIcon } from "../ui/icons";
import type { SearchHit } from "../api/protocol";
import { foundIn, partsOf } from "./search";
import { clockText } from "../ui/words";
import "./search_panel.css";

/** Below this width the panel covers the screen it found something on. */
const NARROW_PX = 720;

export function SearchPanel({ attachment }: { attachment: Attachment }) {
  return attachment.search.isOpen.value ? <OpenPanel attachment={attachment} /> : null;
}

function OpenPanel({ attachment }: { attachment: Attachment }) {
  const { search } = attachment;
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.select(), []);
  const key = (event: KeyboardEvent): void => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    attachment.closeSearch();
  };
  return (
    <aside class="search-panel" aria-label="Search the output" data-testid="search-panel" onKeyDown={key}>
      <form
        class="search-form"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          search.run(true);
        }}
      >
        <input
          ref={field}
          type="search"
          placeholder="Search the output"
          aria-label="Search the output"
          data-testid="search-field"
          autocomplete="off"
          spellcheck={false}
          value={search.text}
          onInput={(event) => search.type(event.currentTarget.value)}
        />
        <button
          type="button"
          class="button regex-button mono"
          aria-pressed={search.regex.value}
          aria-label="Regular expression"
          title="Regular expression"
          data-testid="search-regex"
          onClick={() => search.useRegex(!search.regex.peek())}
        >
          .*
        </button>
        <button type="button" class="icon-button" aria-label="Close the search" onClick={() => attachment.closeSearch()}><CloseIcon /></button>
      </form>
      <Results attachment={attachment} />
    </aside>
  );
}

function Results({ attachment }: { attachment: Attachment }) {
  const { search } = attachment;
  const hits = search.hits.value;
  const error = search.error.value;
  return (
    <div class="search-results" aria-busy={search.searching.value}>
      {error
        ? <p class="message" role="alert" data-testid="search-error">{error}</p>
        : <p class="search-summary help" role="status" data-testid="search-summary">{summary(hits, search.searching.value, search.next.value !== null)}</p>}
      <ol>
        {hits?.map((hit) => <Hit key={`${hit.cursor} ${hit.line}`} hit={hit} attachment={attachment} />)}
      </ol>
      {search.next.value && (
        <button type="button" class="button wide" disabled={search.searching} onClick={() => search.more()}>Search on</button>
      )}
    </div>
  );
}

function Hit({ hit, attachment }: { hit: SearchHit; attachment: Attachment }) {
  const chosen = attachment.search.chosen.value === hit;
  const open = (): void => {
    attachment.search.chosen.value = hit;
    attachment.history.open({ cursor: hit.cursor, at: Date.parse(hit.at), wanted: foundIn(hit) });
    if (innerWidth <= NARROW_PX) attachment.search.close();
  };
  return (
    <li>
      <button type="button" class="search-hit" data-testid="search-hit" aria-current={chosen ? "true" : undefined} onClick={open}>
        <span class="muted hit-time">{clockText(Date.parse(hit.at), Date.now())}</span>
        <span class="hit-lines mono">
          {hit.before.map((line, at) => <span key={at} class="hit-context">{line || " "}</span>)}
          <span class="hit-line">
            {partsOf(hit.line, hit.matches).map(({ text, hit: found }, at) => (found ? <mark key={at}>{text}</mark> : <span key={at}>{text}</span>))}
          </span>
          {hit.after.map((line, at) => <span key={at} class="hit-context">{line || " "}</span>)}
        </span>
      </button>
    </li>
  );
}

function summary(hits: readonly SearchHit[] | null, searching: boolean, more: boolean): string {
  if (searching) return "Searching…";
  if (hits === null) return "Everything that was shown and is still kept, also what a program has redrawn since.";
  if (hits.length === 0) return more ? "Nothing found so far." : "Nothing found in the output that is kept.";
  const lines = hits.length === 1 ? "1 line" : `${hits.length} lines`;
  const order = hits.length === 1 ? "" : ", oldest first";
  return more ? `The first ${lines}${order}` : `${lines}${order}`;
}
