/** How many sessions want somebody, where a tab can say so: its title, its picture, an installed page's icon. */

export function badgedTitle(title: string, count: number): string {
  return count === 0 ? title : `(${count}) ${title}`;
}

/** The picture with a dot, or without. */
export function badgeIcon(count: number): void {
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  const href = count === 0 ? "/favicon.svg" : "/favicon-attention.svg";
  if (link && link.getAttribute("href") !== href) link.setAttribute("href", href);
  if ("setAppBadge" in navigator) void (count === 0 ? navigator.clearAppBadge() : navigator.setAppBadge(count)).catch(() => undefined);
}
