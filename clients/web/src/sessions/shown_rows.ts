/** Which rows are on the screen: only those are read. */

import { store } from "../state";

/** Follows the rows of `list` as they come, go and scroll; what it returns ends that. */
export function watchRows(list: HTMLElement): () => void {
  const { reader, onScreen } = store.desk;
  const observer = new IntersectionObserver((entries) => {
    const shown = new Set(onScreen.peek());
    for (const { target, isIntersecting } of entries) {
      const id = (target as HTMLElement).dataset["row"];
      if (id === undefined) continue;
      if (isIntersecting) {
        shown.add(id);
        reader.show(id);
      } else {
        shown.delete(id);
        reader.hide(id);
      }
    }
    onScreen.value = shown;
  });
  const observe = (nodes: NodeListOf<Node> | NodeList): void => {
    for (const node of nodes) if (node instanceof HTMLElement && node.dataset["row"]) observer.observe(node);
  };
  const changes = new MutationObserver((records) => {
    for (const { addedNodes, removedNodes } of records) {
      observe(addedNodes);
      for (const node of removedNodes) {
        if (!(node instanceof HTMLElement) || !node.dataset["row"]) continue;
        // Moved to another place of the list: still there.
        if (node.isConnected) continue;
        observer.unobserve(node);
        reader.hide(node.dataset["row"]);
      }
    }
  });
  changes.observe(list, { childList: true, subtree: true });
  observe(list.querySelectorAll("[data-row]"));
  return () => {
    changes.disconnect();
    observer.disconnect();
    for (const id of onScreen.peek()) reader.hide(id);
    onScreen.value = new Set();
  };
}
