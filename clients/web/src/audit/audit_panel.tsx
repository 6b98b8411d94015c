export function AuditPanel() {
  return <p class="empty">Nothing yet.</p>;
}
