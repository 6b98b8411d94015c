/** Which events are shown: of which session, of which kind, with which text. */

import { store } from "../state";
import { sessionName } from "../ui/words";
import { GROUPS, type Group } from "./entry";
import { ALL, THIS, type LogFilter } from "./filter";

/** More sessions than one chooses from by name. */
const CHOICES_MAX = 200;

/** What is behind the names of the groups. */
const MEANINGS: Readonly<Record<Group, string>> = {
  commands: "Prompts, commands and how they ended, titles, directories",
  attention: "Bells and notifications",
  control: "Who has control, who is attached",
  life: "Sessions that start, change and end",
  size: "Sizes of screens",
  guard: "Limits that are reached, and what the sandbox refused",
  approvals: "What was asked for, decided and done",
  baton: "Settings, policy, the bridge",
  other: "Everything else",
};

export function LogFilters() {
  return (
    <div class="log-filters" role="group" aria-label="Filter">
      <div class="log-fields">
        <SessionChoice />
        <TextField />
      </div>
      <Chips />
    </div>
  );
}

function change(part: Partial<LogFilter>): void {
  const { filter } = store.logs;
  filter.value = { ...filter.peek(), ...part };
}

function SessionChoice() {
  const { session } = store.logs.filter.value;
  const sessions = (store.sessions.value ?? []).slice(0, CHOICES_MAX);
  const known = session === ALL || session === THIS || sessions.some(({ id }) => id === session);
  return (
    <select class="button log-session-choice" aria-label="Session" data-testid="logs-session" value={session} onChange={(event) => change({ session: event.currentTarget.value })}>
      <option value={ALL}>All sessions</option>
      <option value={THIS}>This session</option>
      {!known && <option value={session}>Session …{session.slice(-6)}</option>}
      {sessions.map((row) => <option key={row.id} value={row.id}>{sessionName(row)}</option>)}
    </select>
  );
}

function TextField() {
  return (
    <input
      type="search"
      placeholder="Filter by text"
      aria-label="Filter by text"
      data-testid="logs-text"
      maxLength={200}
      autocomplete="off"
      spellcheck={false}
      value={store.logs.filter.value.text}
      onInput={(event) => change({ text: event.currentTarget.value })}
    />
  );
}

function Chips() {
  const { logs } = store;
  void logs.version.value;
  const { off } = logs.filter.value;
  const toggle = (group: Group): void => change({ off: off.includes(group) ? off.filter((other) => other !== group) : [...off, group] });
  const shown = (Object.keys(GROUPS) as Group[]).filter((group) => group !== "other" || logs.counts.has("other"));
  return (
    <div class="log-chips" role="group" aria-label="Kinds of events" tabIndex={-1}>
      {shown.map((group) => (
        <button
          key={group}
          type="button"
          class="log-chip"
          aria-pressed={!off.includes(group)}
          title={MEANINGS[group]}
          data-testid={`logs-chip-${group}`}
          onClick={() => toggle(group)}
        >
          {GROUPS[group]} <span class="log-chip-count">{(logs.counts.get(group) ?? 0).toLocaleString()}</span>
        </button>
      ))}
    </div>
  );
}
