export function LogsPanel() {
  return <p class="empty">Nothing yet.</p>;
}
