/** Decoration only; the words stand beside it. */

export function ShareIcon() {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d="M10 12.5V3m-3.2 3L10 2.8 13.2 6M6.5 9H4.5v8h11V9h-2" />
    </svg>
  );
}
