export function ApprovalsPanel() {
  return <p class="empty">Nothing yet.</p>;
}
