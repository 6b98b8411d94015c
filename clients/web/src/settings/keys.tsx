/** The keys that are the page's own, for who looks for them. */

const KEYS: readonly (readonly [keys: string, does: string])[] = [
  ["Ctrl+Shift+K", "finds a session or an action; Ctrl+K outside the terminal"],
  ["Ctrl+Shift+A", "shows what waits for approval"],
  ["Ctrl+Shift+F", "searches the output"],
  ["Ctrl+Shift+H", "looks back"],
  ["Ctrl+Shift+C / V", "copies, pastes"],
  ["Ctrl+Shift++ / −", "larger, smaller text"],
  ["Ctrl+F6", "goes from the list to the bar, the terminal, the panel"],
  ["In the list", "arrows move, Enter opens, F2 renames, Delete closes, → opens the row's menu"],
];

export function Keys() {
  return (
    <details class="keys">
      <summary>Keys</summary>
      <dl>
        {KEYS.map(([keys, does]) => (
          <div key={keys}>
            <dt><kbd>{keys}</kbd></dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
