/** The page's few pictures; decoration only, the words stand beside them. */

import type { ComponentChildren } from "preact";

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      {children}
    </svg>
  );
}

export const MenuIcon = () => <Icon><path d="M3 5.5h14M3 10h14M3 14.5h14" /></Icon>;
export const CloseIcon = () => <Icon><path d="m5 5 10 10M15 5 5 15" /></Icon>;
export const PlusIcon = () => <Icon><path d="M10 4v12M4 10h12" /></Icon>;
export const MoreIcon = () => <Icon><path d="M4.5 10h.01M10 10h.01M15.5 10h.01" stroke-width="2.6" /></Icon>;
export const EyeIcon = () => <Icon><path d="M2 10s3-5.5 8-5.5S18 10 18 10s-3 5.5-8 5.5S2 10 2 10Z" /><circle cx="10" cy="10" r="2.3" /></Icon>;
export const GearIcon = () => <Icon><path d="M3 6h8m4 0h2M3 14h2m4 0h8" /><circle cx="13" cy="6" r="2" /><circle cx="7" cy="14" r="2" /></Icon>;
export const SearchIcon = () => <Icon><circle cx="9" cy="9" r="5" /><path d="m13 13 4 4" /></Icon>;
export const DownloadIcon = () => <Icon><path d="M10 3v9m-3.5-3.5L10 12l3.5-3.5M4 16h12" /></Icon>;
export const HistoryIcon = () => <Icon><path d="M3.5 4v4h4M3.8 8A6.8 6.8 0 1 1 3.2 11M10 6.5V10l2.5 1.8" /></Icon>;
export const PlayIcon = () => <Icon><path d="M7 4.5v11l8-5.5-8-5.5Z" fill="currentColor" /></Icon>;
export const PauseIcon = () => <Icon><path d="M7 5v10M13 5v10" stroke-width="2.6" /></Icon>;
export const BackIcon = () => <Icon><path d="M5.5 5v10M15 5l-6 5 6 5" /></Icon>;
export const ForwardIcon = () => <Icon><path d="M14.5 5v10M5 5l6 5-6 5" /></Icon>;

/** The mark: a baton, passed. */
export const Mark = () => (
  <svg class="mark" viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
    <rect width="32" height="32" rx="7" class="mark-ground" />
    <path d="M8 24 22.5 9.5" stroke="var(--accent)" stroke-width="5" stroke-linecap="round" />
    <path d="M19.5 12.5 24 8" stroke="var(--warm)" stroke-width="5" stroke-linecap="round" />
  </svg>
);
